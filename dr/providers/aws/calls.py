"""What is called at AWS, as data: the operation as its page documents it, and what a step or a look uses of it.

A kind declares each operation that it uses once, as a constant with a docstring: what it does, its page, the refusals that the API makes.
Touches, permissions and commands for people are made from these and from nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dr.model.plan import Touch

IAM = re.compile(r"^(?P<action>[a-z0-9-]+:[A-Za-z*]+) on (?P<resource>arn:\S+|\*)$")
"""A permission as ``permissions`` writes it; whatever else stands among a step's permissions is no action of IAM."""


@dataclass(frozen=True)
class Call:
    """One operation of an AWS API.

    service: as botocore and aws-cli name it. operation: as its page does.
    act: it changes something: sent once, never again by itself.
    plane: ``data`` works as long as its region does; ``control`` may be away although the region works.
    home: the one AWS region where the API lives, whoever it is called for; empty: each region has its own.
    action: what IAM calls it where that is not ``service:operation``; ``also``: further actions that IAM wants for it.
    refusals: error codes of the API that trying again does not change → what a person does about it.
    instead: for an API with a ``home``: what can be prepared so that a failover does without.
    hidden: parameters whose values are secret: in no log, no error, no command.
    """

    service: str
    operation: str
    act: bool = False
    plane: Literal["control", "data"] = "control"
    home: str = ""
    action: str = ""
    also: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""
    hidden: tuple[str, ...] = ()

    @property
    def iam(self) -> tuple[str, ...]:
        """The actions that a policy must allow."""
        return (self.action or f"{self.service}:{self.operation}", *self.also)

    def __str__(self) -> str:
        return f"{self.service} {self.operation}"


@dataclass(frozen=True)
class Use:
    """A call on some resources, in a region of the runbook.

    resources: ARNs; IAM's ``*`` where the API knows no resource. tried: the step does without where it does not answer.
    """

    call: Call
    region: str
    resources: tuple[str, ...] = ("*",)
    tried: bool = False


def touches(uses: Iterable[Use]) -> tuple[Touch, ...]:
    """What the uses call: each service, plane and place once. A place is a region of the runbook, or the AWS region of an API's home."""
    calls = ((use.call, use.call.home or use.region, use.tried) for use in uses)
    seen = (Touch(service=call.service, plane=call.plane, region=where, tried=tried, instead=call.instead) for call, where, tried in calls)
    return tuple(dict.fromkeys(seen))


def permissions(uses: Iterable[Use]) -> tuple[str, ...]:
    """``rds:FailoverGlobalCluster on arn:…``, each once."""
    return tuple(dict.fromkeys(f"{action} on {name}" for use in uses for action in use.call.iam for name in use.resources))
