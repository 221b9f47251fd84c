"""Kind name → class, loaded when first asked for. Importing this module imports no provider and none of their libraries.

A second owner of a name is refused: of two packages that both claim ``postgres``, none may win by the order of a path.
Packages of others register under the entry point group ``dr.kinds`` as ``name = "package.module:Class"``; the group is read
only when a name is unknown here, because reading it costs tens of milliseconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from dr.errors import UsageError
from dr.ports import Kind

GROUP = "dr.kinds"

BUILT_IN: Mapping[str, str] = {
    "postgres": "dr.providers.selfhosted.postgres:Postgres",
    "s3-bucket": "dr.providers.selfhosted.s3:S3Bucket",
    "dns-records": "dr.providers.selfhosted.dns:DnsRecords",
    "airflow-deployments": "dr.providers.airflow:AirflowDeployments",
    "vault-kv": "dr.providers.selfhosted.vault:VaultKv",
    "oci-registry": "dr.providers.selfhosted.oci:OciRegistry",
    "aws.aurora-global-database": "dr.providers.aws.aurora:AuroraGlobalDatabase",
    "aws.rds-read-replica": "dr.providers.aws.rds_replica:RdsReadReplica",
    "aws.dynamodb-global-table": "dr.providers.aws.dynamodb:DynamoDbGlobalTable",
    "aws.ecr": "dr.providers.aws.ecr:Ecr",
    "aws.s3-bucket": "dr.providers.aws.s3:S3Bucket",
    "aws.secretsmanager": "dr.providers.aws.secrets:SecretsManager",
    "aws.ssm-parameters": "dr.providers.aws.parameters:SsmParameters",
    "aws.kms-key": "dr.providers.aws.kms_key:KmsKey",
    "aws.acm-certificates": "dr.providers.aws.acm_certificates:AcmCertificates",
    "aws.route53-records": "dr.providers.aws.route53:Route53Records",
    "aws.route53-health-check": "dr.providers.aws.health_check:HealthCheck",
    "aws.arc-routing-control": "dr.providers.aws.routing_control:RoutingControl",
    "aws.eks-nodegroups": "dr.providers.aws.capacity.eks_nodegroups:EksNodegroups",
    "aws.ecs-services": "dr.providers.aws.capacity.ecs_services:EcsServices",
    "aws.autoscaling-groups": "dr.providers.aws.capacity.autoscaling_groups:AutoScalingGroups",
    "aws.lambda-event-source": "dr.providers.aws.capacity.lambda_event_source:LambdaEventSource",
    "aws.lambda": "dr.providers.aws.capacity.lambda_function:LambdaFunction",
    "aws.iam-trust": "dr.providers.aws.readiness.iam_trust:IamTrust",
    "aws.quota": "dr.providers.aws.readiness.quota:ServiceQuota",
    "aws.network": "dr.providers.aws.readiness.network:AwsNetwork",
    "command": "dr.providers.generic.command:Command",
    "approval": "dr.providers.generic.person:Approval",
    "gate": "dr.providers.generic.person:Gate",
    "http-check": "dr.providers.generic.checks.http_check:HttpCheck",
    "sql-check": "dr.providers.generic.checks.sql_check:SqlCheck",
    "dns-check": "dr.providers.generic.checks.dns_check:DnsCheck",
    "metric-check": "dr.providers.generic.checks.metric_check:MetricCheck",
    "wait": "dr.providers.generic.checks.waiting:Wait",
    "soak": "dr.providers.generic.checks.waiting:Soak",
    "notify": "dr.providers.generic.notify:Notify",
    "alert-silence": "dr.providers.selfhosted.alerts:AlertSilence",
    "restart": "dr.providers.generic.restart:Restart",
    "tls-certificates": "dr.providers.selfhosted.certificates:TlsCertificates",
}


def _installed() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


class Names(Collection[str]):
    """Every name of a registry, sorted. Walking it or missing in it reads the entry points; UsageError where two own one name."""

    def __init__(self, built_in: Mapping[str, str], others: Callable[[], Mapping[str, str]]) -> None:
        self._built_in, self._others = built_in, others

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._others()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._built_in, *self._others()}))

    def __len__(self) -> int:
        return len({*self._built_in, *self._others()})


class Registry:
    """Which class a kind's name means.

    Args:
        built_in: name → ``module:Class`` of what ships with ``dr``.
        installed: where others' entry points come from; called at most once, and only for a name that is not built in.
    """

    def __init__(self, built_in: Mapping[str, str] = BUILT_IN, installed: Callable[[], Iterable[EntryPoint]] = _installed) -> None:
        self._built_in = dict(built_in)
        self._installed = installed
        self._others: dict[str, str] | None = None
        self._loaded: dict[str, type[Kind]] = {}

    def find(self, name: str) -> type[Kind]:
        """The class of a kind.

        Raises:
            UsageError: nobody has the name, two have it, or its class cannot be loaded.
        """
        if name not in self._loaded:
            where = self._built_in.get(name) or self._from_others().get(name)
            if where is None:
                raise UsageError(f"unknown kind {name!r}", hint=self._suggestion(name))
            self._loaded[name] = _load(name, where)
        return self._loaded[name]

    def names(self) -> Names:
        """Every name. ``in`` looks among the built-in ones first, without reading the entry points."""
        return Names(self._built_in, self._from_others)

    def _suggestion(self, name: str) -> str:
        known = sorted(self.names())
        close = difflib.get_close_matches(name, known, n=1)
        return (f"did you mean {close[0]}? " if close else "") + "known kinds: " + ", ".join(known)

    def _from_others(self) -> dict[str, str]:
        if self._others is None:
            others: dict[str, str] = {}
            for point in self._installed():
                owner = self._built_in.get(point.name) or others.get(point.name)
                if owner is not None and owner != point.value:
                    raise UsageError(
                        f"kind {point.name!r} has two owners: {owner} and {point.value}",
                        hint=f"uninstall one of them, or rename its entry point in the group {GROUP}",
                    )
                others[point.name] = point.value
            self._others = others
        return self._others


def _load(name: str, where: str) -> type[Kind]:
    module, _, attribute = where.partition(":")
    try:
        loaded: type[Kind] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"kind {name!r}: {where} cannot be loaded: {error}", hint="install the package that provides it again") from error
    if loaded.kind != name:
        raise UsageError(f"kind {name!r}: {where} says it is {loaded.kind!r}", hint=f"rename the entry point in the group {GROUP}")
    return loaded


@cache
def _registry() -> Registry:
    return Registry()


def find(name: str) -> type[Kind]:
    """The class of a kind, of this process's registry. Raises UsageError as ``Registry.find``."""
    return _registry().find(name)


def names() -> Names:
    """Every name of this process's registry."""
    return _registry().names()
