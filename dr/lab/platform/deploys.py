"""Deploys in one region: changes of a Deployment's environment and image, and the lock that refuses them.

The lock is a row of the platform's own replicated database: it survives a promotion and a restart, and both regions see it. Where that
database takes no writes (a standby that is about to be promoted), this runtime refuses by itself and writes the row as soon as it can.
Several may hold a lock at once; deploys are refused while one of them has not expired.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dr.lab.platform.database import Database, NotPerformed, Row, Why
from dr.model.base import Json

_TAKE = "SELECT since, expires_at FROM take_deploy_lock(%(owner)s, %(reason)s, %(seconds)s)"
_RELEASE = "DELETE FROM deploy_lock WHERE owner = %(owner)s OR starts_with(owner, %(owner)s || '/') RETURNING owner"
_HELD = "SELECT count(*) FROM deploy_lock WHERE owner = %(owner)s OR starts_with(owner, %(owner)s || '/')"
_LOOK = """
SELECT pg_is_in_recovery(), coalesce((
    SELECT json_agg(json_build_array(owner, reason, since, expires_at) ORDER BY since, owner) FROM deploy_lock WHERE expires_at > now()
), '[]')::text
"""
_CHANGE = (
    "SELECT locked_by, reason, expires_at, image_digest FROM change_deployment(%(id)s, %(variables)s::text::jsonb, %(image)s::text)"
)


@dataclass(frozen=True)
class DeployLock:
    """One lock. ``written``: it stands in the database, else in this process only."""

    owner: str
    reason: str
    since: datetime
    expires_at: datetime
    written: bool = True

    @property
    def expired(self) -> bool:
        """It refuses nothing any more."""
        return self.expires_at <= datetime.now(UTC)

    def view(self) -> dict[str, Json]:
        """As the control API shows it."""
        return {
            "owner": self.owner, "reason": self.reason, "since": self.since.astimezone(UTC).isoformat(),
            "expires_at": self.expires_at.astimezone(UTC).isoformat(), "written": self.written,
        }  # fmt: skip


class Locked(Exception):
    """A deploy was refused."""

    def __init__(self, lock: DeployLock) -> None:
        super().__init__(f"deploys are locked by {lock.owner} until {lock.expires_at.astimezone(UTC):%H:%M:%S} UTC: {lock.reason}")
        self.lock = lock


class Deploys:
    """Changes of Deployments, and who locks them out.

    Args:
        platform: the platform's database in this region.
    """

    def __init__(self, platform: Database) -> None:
        self.platform = platform
        self._waiting: dict[str, DeployLock] = {}

    async def lock(self, owner: str, reason: str, seconds: float) -> DeployLock:
        """From now on changes are refused; those under way have ended, or will be refused. Repeatable: the later expiry counts."""
        now = datetime.now(UTC)
        try:
            rows = await self.platform.perform(_TAKE, {"owner": owner, "reason": reason, "seconds": seconds}, repeatable=True)
        except NotPerformed:
            self._waiting[owner] = DeployLock(owner, reason, now, now + timedelta(seconds=seconds), written=False)
            return self._waiting[owner]
        self._waiting.pop(owner, None)
        return _lock((owner, reason, *rows[0]))

    async def unlock(self, owner: str) -> list[str]:
        """Takes the locks of an owner away, and those of ``OWNER/…``; whose they were. Repeatable.

        Raises:
            NotPerformed: the database has one and takes no writes; it stays.
        """
        gone = [name for name in self._waiting if name == owner or name.startswith(f"{owner}/")]
        for name in gone:
            del self._waiting[name]
        try:
            rows = await self.platform.perform(_RELEASE, {"owner": owner}, repeatable=True)
        except NotPerformed as error:
            if error.why is not Why.READ_ONLY:
                raise
            [(held,)] = await self.platform.perform(_HELD, {"owner": owner}, repeatable=True)
            if held:
                raise
            rows = []
        return sorted({*gone, *(str(row[0]) for row in rows)})

    async def look(self) -> tuple[bool | None, list[DeployLock]]:
        """Whether the region's server is a standby, None when it does not answer; and every lock that has not expired, oldest first.

        One question: the control API is asked for both at once, and often.
        """
        waiting = [lock for lock in self._waiting.values() if not lock.expired]
        try:
            [(recovering, written)] = await self.platform.perform(_LOOK, seconds=1, repeatable=True)
        except NotPerformed:
            return None, waiting
        rows = [(owner, reason, *map(datetime.fromisoformat, moments)) for owner, reason, *moments in json.loads(str(written))]
        return bool(recovering), [*map(_lock, rows), *waiting]

    async def write_waiting(self) -> None:
        """Writes what could not be written before, now that the database takes writes."""
        for lock in list(self._waiting.values()):
            left = (lock.expires_at - datetime.now(UTC)).total_seconds()
            if left > 0:
                await self.lock(lock.owner, lock.reason, left)
            else:
                self._waiting.pop(lock.owner, None)

    async def change(self, deployment: str, variables: Mapping[str, str | None], image: str | None) -> str:
        """Changes what is given; a variable that is None is removed. Returns the image that the Deployment has then.

        Raises:
            Locked: refused; nothing was changed. NotPerformed: as ``Database.perform``. LookupError: there is no such Deployment.
        """
        for lock in self._waiting.values():
            if not lock.expired:
                raise Locked(lock)
        rows = await self.platform.perform(
            _CHANGE, {"id": deployment, "variables": json.dumps(dict(variables)), "image": image}
        )
        if not rows:
            raise LookupError(deployment)
        owner, reason, expires_at, digest = rows[0]
        if owner is not None:
            raise Locked(_lock((owner, reason, expires_at, expires_at)))
        return str(digest)


def _lock(row: Row) -> DeployLock:
    owner, reason, since, expires_at = row
    assert isinstance(since, datetime)
    assert isinstance(expires_at, datetime)
    return DeployLock(str(owner), str(reason), since, expires_at)
