"""The truth: what follows from the outside client's ledger alone."""

from __future__ import annotations

from pydantic import computed_field, model_validator

from dr.model.base import Duration, Frozen, Json, Moment


class HostnameTruth(Frozen):
    """One public hostname as the client saw it around its longest outage.

    Never failed: only ``last_ok``, the newest acknowledged write. Not come back: ``first_fail`` without ``first_ok_after``.
    """

    hostname: str
    last_ok: Moment | None
    first_fail: Moment | None
    first_ok_after: Moment | None

    @property
    def outage_seconds(self) -> float | None:
        """Last to first acknowledged write around the outage."""
        if self.last_ok is None or self.first_ok_after is None:
            return None
        return (self.first_ok_after - self.last_ok).total_seconds()

    @property
    def at_least_seconds(self) -> float | None:
        """First failed to first acknowledged write: the outage was no shorter, whatever the client's rhythm."""
        if self.first_fail is None or self.first_ok_after is None:
            return None
        return (self.first_ok_after - self.first_fail).total_seconds()


class Truth(Frozen):
    """What the independent client knows.

    outage: longest outage of a hostname, last to first acknowledged write; None when one has not come back, zero when none ever failed.
    outage_at_least: the same from the first failed attempt on. The real outage lies between the two; they differ by up to the time
        between two writes through one name (a second at 80 Deployments).
    lost_writes: acknowledged, and not listed by their Deployment any more.
    unconfirmed_writes: acknowledged, but their Deployment does not answer now: neither there nor lost.
    served_by: the region that acknowledged the newest write of each hostname, as its answer said; empty where not noted.
    preserved_writes: how many of the lost writes stand in what was preserved of an old primary; None where nothing was preserved.
    acknowledged_objects, lost_objects: of the log store: acknowledged; acknowledged, and not readable in the region that is primary in the
        end. None: no such store runs, or it does not answer. lost_object_names: their keys.
    loss_window: from the last acknowledged write that is there to the last acknowledged write that is not, worst of all Deployments.
    """

    outage: Duration | None
    outage_at_least: Duration | None = None
    acknowledged_writes: int
    lost_writes: int
    unconfirmed_writes: int = 0
    preserved_writes: int | None = None
    acknowledged_objects: int | None = None
    lost_objects: int | None = None
    lost_object_names: tuple[str, ...] = ()
    loss_window: Duration
    hostnames: tuple[HostnameTruth, ...]
    agent_polls_after: int = 0
    served_by: dict[str, str] = {}
    agent_gap: Duration | None = None
    ledger_path: str
    ledger_sha256: str


class CleanUp(Frozen):
    """What was left over when the world was ended; empty is ok."""

    leftovers: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, data: Json) -> Json:
        # ``ok`` is written for who reads the JSON; read back it follows from the leftovers again
        return {name: value for name, value in data.items() if name != "ok"} if isinstance(data, dict) else data

    @computed_field  # type: ignore[prop-decorator]  # mypy wants no decorator above property; pydantic documents this one
    @property
    def ok(self) -> bool:
        """Nothing is left."""
        return not self.leftovers
