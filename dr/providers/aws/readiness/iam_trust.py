"""The kind ``aws.iam-trust``: roles that pods must be able to take on in each region's cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from dr.errors import StepError
from dr.model.base import Frozen
from dr.model.by_hand import Typed
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity
from dr.ports import Site
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.kind import Judged
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.readiness.checked import FRESH_SECONDS, Checked
from dr.providers.aws.readiness.trust import bare, trusts
from dr.providers.aws.typed import cli
from dr.providers.regions import same_regions

CLUSTER = Call("eks", "DescribeCluster", refusals={"ResourceNotFoundException": "correct regions.*.cluster: aws eks list-clusters"})
"""A cluster, and the issuer of its tokens.

https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html; ClientException, ResourceNotFoundException, ServerException,
ServiceUnavailableException."""

ROLE = Call("iam", "GetRole", home="us-east-1")
"""A role and its trust policy. IAM's control plane lives in us-east-1.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html; NoSuchEntity, ServiceFailure."""

ROLES = Call("iam", "ListRoles", home="us-east-1")
"""All roles of the account with their trust policies, 1,000 a page.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html; ServiceFailure."""

PROVIDERS = Call("iam", "ListOpenIDConnectProviders", home="us-east-1")
"""The issuers that the account knows; a trust policy that names any other trusts nobody.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListOpenIDConnectProviders.html; ServiceFailure."""

_NOBODY = "https://oidc.eks.nowhere.amazonaws.com/id/0"
"""An issuer that no role trusts, unless it trusts whatever cluster there is (EKS Pod Identity)."""
_LISTED = 10
"""From so many roles on, all are listed: IAM gives few calls a second to an account."""


class RegionIssuer(Frozen):
    """Whose tokens a region's pods have: the issuer of an EKS cluster, or one that is named."""

    cluster: str | None = Field(None, min_length=1, max_length=100)
    issuer: Annotated[str, StringConstraints(pattern=r"^https://\S+$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cluster is None) == (self.issuer is None):
            raise ValueError("expected exactly one of cluster: NAME or issuer: URL")
        return self


class TrustConfig(AwsConfig):
    """Settings of ``aws.iam-trust``. trusted: the roles that pods take on, by name, with their path where they have one: ``team/worker``
    (``roles`` are those of ``dr`` itself)."""

    regions: dict[str, RegionIssuer] = Field(min_length=2)
    trusted: tuple[Annotated[str, StringConstraints(pattern=r"^([!-.0-~]+/)*[A-Za-z0-9+=,.@_-]{1,64}$")], ...] = Field(min_length=1)


@dataclass(frozen=True)
class Account:
    """What IAM says: trust policies by role, None where there is no such role; the issuers that are known."""

    policies: Mapping[str, Mapping[str, Any] | None]
    providers: frozenset[str]


@dataclass(frozen=True)
class Side:
    """One region: its issuer, and what IAM says, which is the same for all of them; or why IAM does not say."""

    issuer: str
    account: Account | StepError


class IamTrust(Checked[TrustConfig, Side]):
    """Roles whose trust policy must name the OIDC issuer of each region's cluster.

    Protects whatever runs in the other region from having no permissions there. IAM's control plane lives in us-east-1, so it is looked at
    all the time and before planned moves, and never in a failover. Needs ``iam:GetRole`` and the clusters, or their issuers.
    """

    kind: ClassVar[str] = "aws.iam-trust"
    Config: ClassVar[type[KindConfig]] = TrustConfig
    subject: ClassVar[str] = "roles that pods in"
    intents: ClassVar[tuple[Intent, ...]] = (Intent.SWITCHOVER, Intent.FAILBACK)

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, TrustConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        super().__init__(name, config, needs, site)
        self._account: tuple[float, Account] | None = None
        self._asking = Lock()

    def regions(self) -> Sequence[str]:
        """All that the settings name."""
        return tuple(self.config.regions)

    def reads(self, region: str) -> Sequence[Use]:
        """The cluster, the roles; IAM knows no resource for its listings."""
        place, cluster = self.places[region], self.config.regions[region].cluster
        names = tuple(arn(place, "iam", f"role/{name}", everywhere=True) for name in self.config.trusted)
        roles = [Use(ROLES, region)] if self._many() else [Use(ROLE, region, names)]
        own = [] if cluster is None else [Use(CLUSTER, region, (arn(place, "eks", f"cluster/{cluster}"),))]
        return [*own, *roles, Use(PROVIDERS, region)]

    def _names(self) -> list[str]:
        """Without their paths, as IAM's calls take them."""
        return [name.rpartition("/")[2] for name in self.config.trusted]

    def _many(self) -> bool:
        return len(self.config.trusted) >= _LISTED

    def ask(self, place: Place) -> Side:
        """The region's issuer and the account's roles. Raises StepError: the region does not say; where IAM does not, that is an answer."""
        cluster, issuer = self.config.regions[place.region].cluster, self.config.regions[place.region].issuer
        if cluster is not None:
            issuer = self.aws.read(place, CLUSTER, name=cluster)["cluster"]["identity"]["oidc"]["issuer"]
        try:
            return Side(str(issuer), self._roles(place))
        except StepError as error:
            return Side(str(issuer), error)

    def _roles(self, place: Place) -> Account:
        """Asked once for all regions. Raises StepError."""
        with self._asking:
            now = self.site.clock.monotonic()
            if self._account is None or now - self._account[0] > FRESH_SECONDS / 2:
                self._account = now, self._read(place)
            return self._account[1]

    def _read(self, place: Place) -> Account:
        wanted: dict[str, Mapping[str, Any] | None] = dict.fromkeys(self._names())
        if self._many():
            for page in self.aws.pages(place, ROLES, PaginationConfig={"PageSize": 1000}):
                wanted |= {role["RoleName"]: role["AssumeRolePolicyDocument"] for role in page["Roles"] if role["RoleName"] in wanted}
        else:
            for name, role in zip(wanted, self.aws.many([partial(self._role, place, name) for name in wanted]), strict=True):
                if isinstance(role, StepError):
                    raise role
                wanted[name] = role
        listed = self.aws.read(place, PROVIDERS)["OpenIDConnectProviderList"]
        return Account(wanted, frozenset(str(item["Arn"]).partition(":oidc-provider/")[2] for item in listed))

    def _role(self, place: Place, name: str) -> Mapping[str, Any] | None:
        try:
            policy: Mapping[str, Any] = self.aws.read(place, ROLE, RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        except StepError as error:
            if code_of(error) in ("NoSuchEntity", "NoSuchEntityException"):
                return None
            raise
        return policy

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        found = list(self.silent(looks))
        for region, side in looks.items():
            if isinstance(side, StepError):
                continue
            account, issuer = side.account, bare(side.issuer)
            if isinstance(account, StepError):
                found.append(self.finding(Severity.WARNING, f"IAM does not say whom roles trust: {account.message}", account.hint, region))
                continue
            policies = [policy for policy in account.policies.values() if policy is not None]
            by_token = any(not trusts(policy, side.issuer) and trusts(policy, _NOBODY) for policy in policies)
            if by_token and issuer not in account.providers:
                fact = f"{issuer}, whose tokens pods in {region} have, is no identity provider of the account"
                fix = f"aws iam create-open-id-connect-provider --url https://{issuer} --client-id-list sts.amazonaws.com"
                found.append(self.finding(Severity.ERROR, fact, fix, region))
            for name, policy in account.policies.items():
                why = "there is no such role" if policy is None else trusts(policy, side.issuer)
                fix = f"aws iam update-assume-role-policy --role-name {name}: name both issuers"
                if why:
                    found.append(
                        self.finding(Severity.ERROR, f"role {name} cannot be taken on in {region}: {why}", fix if policy else "", region)
                    )
        return Judged(findings=found)

    def by_hand(self, region: str, source: str) -> Typed:
        """The trust policies; each must name the region's issuer."""
        place, own = self.places[region], self.config.regions[region]
        shown = [cli(ROLE, place, {"RoleName": name}, query="Role.AssumeRolePolicyDocument") for name in self._names()]
        issuer = own.issuer
        if own.cluster is not None:
            issuer = f"$({cli(CLUSTER, place, {'name': own.cluster}, query='cluster.identity.oidc.issuer', text=True)})"
        pattern = f'"$(printf %s "{issuer}" | sed s,https://,,)"'
        return Typed(" && ".join(shown), " && ".join(f"{show} --output json | grep -qF {pattern}" for show in shown))
