"""What the status of an RDS instance or an Aurora cluster means for who wants to move it: it serves, it passes, or a person is needed.

``available`` is one of several in which a database serves: a nightly backup, or days of storage optimization, must not hold up a failover.
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.DBInstance.Status.html and
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/accessing-monitoring.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from dr.errors import Permanent, StepError, Transient
from dr.ports import Look
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of

SERVING = frozenset({
    "available", "backing-up", "configuring-activity-stream", "configuring-associated-roles", "configuring-enhanced-monitoring",
    "configuring-iam-database-auth", "configuring-log-exports", "storage-config-upgrade", "storage-initialization", "storage-optimization",
    "update-iam-db-auth",
})  # fmt: skip
"""It takes connections, whatever is done to it meanwhile."""
PASSING = frozenset({
    "backtracking", "cloning", "creating", "failing-over", "maintenance", "migrating", "modifying", "moving-to-vpc", "promoting",
    "rebooting", "renaming", "resetting-master-credentials", "scaling-compute", "scaling-storage", "starting", "switching-over",
    "upgrading",
})  # fmt: skip
"""It ends by itself, soon or in some minutes."""
_SERVING = f"'{'|'.join(sorted(SERVING))}'"
SERVES, COUNTS = f"grep -qxE {_SERVING}", f"grep -cxE {_SERVING}"
"""For people, behind a command that prints one status a line: whether one is there in which it serves; how many are."""
_START = "aws rds start-db-{what} --db-{what}-identifier {name} {where}"
_KEY_GONE = f"aws kms enable-key of the key that it is encrypted with, then {_START}"
_FULL = "aws rds modify-db-instance --db-instance-identifier {name} --allocated-storage MORE --apply-immediately {where}"
_AWAY = {
    "inaccessible-encryption-credentials": _KEY_GONE,
    "inaccessible-encryption-credentials-recoverable": _KEY_GONE,
    "stopped": _START,
    "stopping": f"once it is stopped: {_START}",
    "storage-full": _FULL,
}
"""What a person does about a status that does not pass."""
_STATES = frozenset({
    "InvalidDBInstanceState", "InvalidDBInstanceStateFault", "InvalidDBClusterStateFault", "InvalidGlobalClusterStateFault",
})  # fmt: skip


def ready(status: str) -> Look:
    """DONE: it serves. NEEDED: it will, by itself. BLOCKED: not without a person (stopped, storage-full, a key that is gone)."""
    if status in SERVING:
        return Look.DONE
    return Look.NEEDED if status in PASSING else Look.BLOCKED


def way_out(status: str, what: Literal["cluster", "instance"], name: str, place: Place) -> str:
    """The next step of a person where a cluster or an instance has a status that does not pass."""
    told = "ask why: aws rds describe-events --source-type db-{what} --source-identifier {name} --duration 1440 {where}"
    where = f"--region {place.code}" + (f" --profile {place.profile}" if place.profile else "")
    return _AWAY.get(status, told).format(what=what, name=name, where=where)


@contextmanager
def patient(statuses: Callable[[], Iterable[str]]) -> Iterator[None]:
    """A refusal because of a state that is seen to be one that passes is Transient: to be asked for again. Others are as they are.

    Args:
        statuses: how everything that the call is about stands now; asked only after a refusal.
    """
    problem: StepError | None = None
    try:
        yield
    except Permanent as error:
        problem = error
        if code_of(error) in _STATES:
            passing = [status for status in statuses() if status != "available" and ready(status) is not Look.BLOCKED]
            if passing:
                text = f"{error.message} (it is {', '.join(dict.fromkeys(passing))}, which passes)"
                problem = Transient(text, hint=error.hint)
    if problem is not None:
        raise problem
