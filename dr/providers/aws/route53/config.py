"""What a runbook says about the names of a hosted zone."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from dr.model.base import Duration, Frozen
from dr.providers.aws.config import AwsConfig
from dr.providers.generic.checks.names import ServerText

Kind = Literal["A", "AAAA", "CNAME"]


def plain(name: str) -> str:
    """A name as we compare it: small letters, no last dot, ``*`` for what Route 53 writes as ``\\052``."""
    return name.rstrip(".").lower().replace("\\052", "*")


Name = Annotated[str, AfterValidator(plain)]


def kind_of(value: str) -> Kind:
    """Which type of record holds a value."""
    try:
        return "AAAA" if ipaddress.ip_address(value).version == 6 else "A"
    except ValueError:
        return "CNAME"


class Alias(Frozen):
    """A load balancer, or whatever else of AWS a record set is an alias of.

    zone: its own hosted zone, not ours (AWS has one for each service and region). evaluate_target_health: as the record sets shall say it.
    """

    zone: str = Field(pattern=r"^[A-Z0-9]{1,32}$")
    name: Name
    evaluate_target_health: bool = True

    @property
    def host(self) -> str:
        """Without ``dualstack.``, which leads to the same load balancer."""
        return self.name.removeprefix("dualstack.")


class Goal(Frozen):
    """Where names lead when a region is primary. ``values``: addresses (A, AAAA) or one host name (CNAME); or ``alias``; or both, where
    some names are aliases and others are not."""

    values: tuple[Name, ...] = ()
    alias: Alias | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.values and self.alias is None:
            raise ValueError("expected values: [192.0.2.1] or alias: {zone, name}")
        return self

    @property
    def all(self) -> frozenset[str]:
        """Everything that leads there."""
        return frozenset(self.values) | ({self.alias.host} if self.alias is not None else frozenset())

    def of(self, kind: str) -> tuple[str, ...]:
        """The values of one type of record."""
        return tuple(value for value in self.values if kind_of(value) == kind)


class Probe(Frozen):
    """What proves service from outside: every name is looked up as anybody would, and asked over HTTPS at that very address.

    url: ``{name}`` is each name. status: any of these is good. within: so long it is tried again. certificate_authority: PEM file to trust,
    and nothing else; none: what this machine trusts.
    """

    url: str = "https://{name}/health"
    status: tuple[int, ...] = Field((200,), min_length=1)
    timeout: Duration = timedelta(seconds=5)
    within: Duration = timedelta(minutes=15)
    certificate_authority: str | None = None

    @model_validator(mode="after")
    def _each(self) -> Self:
        parts = urlsplit(self.url.replace("{name}", "name"))
        if "{name}" not in self.url or parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("url: expected https://{name}/health, without user and password")
        return self


class RecordsConfig(AwsConfig):
    """Settings of ``aws.route53-records``.

    zone: id of the hosted zone. names: host names, or patterns such as ``*.dr.example.com``. deployments: a component that knows the host
        names (``airflow-deployments``). Only record sets of these names are looked at or changed, and only A, AAAA and CNAME.
    mode: ``prepared``: failover or weighted record sets are there already, nothing is edited, ``flipped_by`` leads people over;
        ``edit``: the record sets are edited, in us-east-1: for who has nothing prepared.
    flipped_by: the component that flips what is prepared (``aws.arc-routing-control``, ``aws.route53-health-check``); one of ``needs``.
    name_servers: who is asked by DNS; best two of the zone's own (``aws route53 get-hosted-zone``); none: this machine's resolver.
    ttl: a longer one is a finding; what a record set gets that was an alias before.
    lower_ttl_to: a planned move lowers longer TTLs to this before it freezes anything, and puts them back at the end; edit only.
    probe: proves service from outside, where no other component does.
    """

    zone: Annotated[str, AfterValidator(lambda value: value.rpartition("/")[2])] = Field(pattern=r"^(/hostedzone/)?[A-Z0-9]{1,32}$")
    names: tuple[Name, ...] = ()
    deployments: str | None = None
    mode: Literal["prepared", "edit"]
    flipped_by: str | None = None
    regions: dict[str, Goal] = Field(min_length=2, max_length=2)
    name_servers: tuple[ServerText, ...] = ()
    ttl: Duration = Field(timedelta(seconds=60), ge=timedelta(seconds=1))
    lower_ttl_to: Duration | None = Field(None, ge=timedelta(seconds=1))
    probe: Probe | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.names and self.deployments is None:
            raise ValueError("expected names: [app.example.com], or deployments: COMPONENT that knows them")
        if (self.flipped_by is None) == (self.mode == "prepared"):
            raise ValueError("flipped_by: expected with mode: prepared, and only there: the component that leads people over")
        if self.lower_ttl_to is not None and self.mode == "prepared":
            raise ValueError("lower_ttl_to: what is prepared is not edited; give those record sets a short TTL for good")
        return self
