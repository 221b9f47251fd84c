"""An RDS instance with a read replica in another region: a promotion ends replication for good, the old instance stays as it is.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.html. What fences the old one is a security group that lets nobody in.
"""

from __future__ import annotations

from dr.providers.sim.aws.moving import Moving


class Replica(Moving):
    """``Store`` of one instance and its replica. A copy that was stopped on purpose is in quarantine: it runs, and nobody reaches it."""

    def quarantine(self, region: str, *, planned: bool) -> float:
        """Nobody reaches it any more; of a planned move it has sent everything by then. When its last write was."""
        return self.hand_over(region) if planned else self.stop(region)

    def set_aside(self, region: str) -> None:
        """It has another name, and keeps what only it has."""
        if region not in self.absent:
            self.keep_aside(region)

    def status(self, region: str, plain: str = "available") -> str:
        """Quarantine is no state of it."""
        return plain if self.copies[region].fenced and self.move is None else super().status(region, plain)
