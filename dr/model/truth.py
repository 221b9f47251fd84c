"""The truth: what follows from the outside client's ledger alone."""

from __future__ import annotations

from dr.model.base import Duration, Frozen, Moment


class HostnameTruth(Frozen):
    """One public hostname as the client saw it around its longest outage. None where it never failed or never came back."""

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


class Truth(Frozen):
    """What the independent client knows.

    outage: longest outage of a hostname, last to first acknowledged write; None when one never came back.
    served_by: the region that acknowledged the newest write of each hostname, as its answer said; empty where not noted.
    loss_window: from the last acknowledged write that is there to the last acknowledged write that is not, worst of all Deployments.
    """

    outage: Duration | None
    acknowledged_writes: int
    lost_writes: int
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

    @property
    def ok(self) -> bool:
        """Nothing is left."""
        return not self.leftovers
