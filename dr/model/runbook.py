"""The runbook: what people wrote. Kind-specific settings are parsed by the kind's own ``Config`` (see ``ports.Kind``)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, SerializeAsAny, StringConstraints, model_validator

from dr.model.base import Duration, Frozen

NAME = r"^[a-z][a-z0-9-]{0,62}$"


class SecretRef(Frozen):
    """Where a credential lies: a file (relative to the runbook) or an environment variable. Never the value itself."""

    file: str | None = None
    env: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("expected exactly one of file: PATH or env: NAME")
        return self


class HostAccess(Frozen):
    """How a region's hosts are reached: a command line that runs its further arguments there (``ssh user@host``, a script)."""

    exec: tuple[str, ...] = Field(min_length=1, description="argv prefix; exit status 255 means: not reachable, as with ssh")
    timeout: Duration = timedelta(seconds=30)


class AwsRole(Frozen):
    """A role of AWS IAM that is taken on, through the STS of the region where it is used."""

    arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$")
    external_id: SecretRef | None = None


class AwsRegion(Frozen):
    """How the AWS APIs of a region are reached.

    region: AWS's name of it; none: the runbook's own. profile: of the shared configuration and credentials files; none: the default chain.
    account: what the credentials must belong to; looked at before anything else is. role: taken on by every AWS component of the region.
    """

    region: str | None = Field(None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    profile: str | None = None
    account: str | None = Field(None, pattern=r"^\d{12}$")
    role: AwsRole | None = None


class Region(Frozen):
    """A failure domain that can be lost as a whole."""

    host: HostAccess | None = None
    aws: AwsRegion | None = None


class Objectives(Frozen):
    """How long service may be away (RTO), how much data, as time, may be lost (RPO)."""

    rto: Duration
    rpo: Duration


class KindConfig(Frozen):
    """Base of every kind's own settings."""


class InWorlds(KindConfig):
    """Base of the settings of kinds that reach people or programs of others: a drill touches nothing outside its world (I12)."""

    worlds: tuple[Annotated[str, StringConstraints(pattern=NAME)], ...] = Field(
        ("live",), description="where it really acts: live, lab, sim, or a world that a package brings; anywhere else it only says so"
    )


class Component(Frozen):
    """A thing that is replicated and moved."""

    name: str
    kind: str
    needs: tuple[str, ...] = ()
    rpo: Duration | None = None
    config: SerializeAsAny[KindConfig]


class Approvals(Frozen):
    """How many people beside the requester each intent needs."""

    failover: int = Field(0, ge=0)
    switchover: int = Field(0, ge=0)
    failback: int = Field(0, ge=0)
    reprotect: int = Field(0, ge=0)


class Runbook(Frozen):
    """One platform: its regions, objectives and components.

    ``base`` is the absolute directory of the file: relative paths in it (``exec``, ``file``) start there.
    ``sha256`` is the digest of the file's bytes, for "edited during the run".
    """

    api_version: Literal["dr/v1"]
    name: str = Field(pattern=NAME)
    regions: dict[str, Region] = Field(min_length=2)
    home: str
    objectives: Objectives
    components: dict[str, Component] = Field(min_length=1)
    approvals: Approvals = Approvals()
    path: str
    base: str
    sha256: str

    def rpo(self, component: str) -> timedelta:
        """The RPO that counts for a component: its own, else the runbook's."""
        own = self.components[component].rpo
        return self.objectives.rpo if own is None else own
