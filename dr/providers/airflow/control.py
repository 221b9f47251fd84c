"""The control API of a region's runtime: what its Deployments do; lock, freeze, stop, and their opposites. Every call is repeatable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from dr.errors import Permanent
from dr.model.base import Json
from dr.providers.airflow.config import Endpoint
from dr.providers.airflow.https import Https, Peer, failure

SCHEDULER = "scheduler"
_LEFT = 422


class _Read(BaseModel):
    """What another program sends: unknown keys may come with a later version of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


R = TypeVar("R", bound=_Read)


class Problem(_Read):
    """Why a Deployment was not started when that was asked last. ``lasting``: it stays so until somebody mends it."""

    text: str
    lasting: bool


class DeploymentStatus(_Read):
    """One Deployment in one region.

    ``scheduler_job``: id of its row in ``job``, None while no scheduler runs. ``problem``: None where it started, or was not asked to.
    """

    frozen: bool
    components: dict[str, str]
    scheduler_job: int | None = None
    scheduler_heartbeat: AwareDatetime | None = None
    database: Literal["writable", "read-only", "unreachable"]
    tasks_running: int = 0
    problem: Problem | None = None

    @property
    def scheduling(self) -> bool:
        """Its scheduler runs."""
        return self.components.get(SCHEDULER) == "running"

    def scheduled_since(self, highest_job: int, promoted: datetime | None) -> bool:
        """A new scheduler lives: its job is above the highest before, its heartbeat newer than the promotion.

        Health endpoints are no proof: they are answered from replicated rows of the lost region's scheduler.
        """
        return (
            self.scheduling
            and (self.scheduler_job or 0) > highest_job
            and self.scheduler_heartbeat is not None
            and (promoted is None or self.scheduler_heartbeat > promoted)
        )


class DeployLock(_Read):
    """Somebody's lock of deploys. ``written``: it stands in the platform's database, else this region's runtime alone holds it."""

    owner: str
    reason: str
    since: AwareDatetime
    expires_at: AwareDatetime
    written: bool = True

    def of(self, runbook: str) -> bool:
        """It was taken by a run of this runbook, or by hand in its name."""
        return self.owner == runbook or self.owner.startswith(f"{runbook}/")


class RegionStatus(_Read):
    """All Deployments of a region's runtime, by id, and who locks their deploys now."""

    region: str
    deployments: dict[str, DeploymentStatus]
    locks: tuple[DeployLock, ...] = ()


class _Lock(_Read):
    lock: DeployLock


class _Unlocked(_Read):
    unlocked: tuple[str, ...]


class Control:
    """Calls to the control APIs.

    Args:
        endpoints: by region.
        token: asked at each call; the value is only ever in the header.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], https: Https, token: Callable[[], str]) -> None:
        self._https, self._token = https, token
        self._peers: dict[str, Peer] = {}
        for region, endpoint in endpoints.items():
            parts = urlsplit(endpoint.control)
            host = parts.hostname or ""
            self._peers[region] = Peer(host, parts.port or 443, host)

    def status(self, region: str) -> RegionStatus:
        """What runs in a region. Raises Transient, Permanent or EffectUnknown as ``Https.request``."""
        status = self._understood(region, RegionStatus, self._call(region, "GET", "/status"))
        if status.region != region:
            text = f"{self._peers[region]} is the runtime of {status.region}, not of {region}"
            raise Permanent(text, hint="correct control in the runbook")
        return status

    def freeze(self, region: str) -> None:
        """Public writes are refused and no task is started, once it returns."""
        self._call(region, "POST", "/freeze")

    def thaw(self, region: str) -> None:
        """Takes a freeze back."""
        self._call(region, "POST", "/thaw")

    def stop_schedulers(self, region: str) -> None:
        """No scheduler runs there, once it returns."""
        self._call(region, "POST", "/stop", {"component": SCHEDULER})

    def start_schedulers(self, region: str) -> None:
        """Every Deployment's scheduler that can run does, and has made its row in ``job``. Transient (409) on a read-only database.

        Deployments that lack something (422: an image, a key) are left; ``status`` says which, and why.
        """
        self._call(region, "POST", "/start", {"component": SCHEDULER}, also=(_LEFT,))

    def lock(self, region: str, owner: str, reason: str, expires: timedelta) -> DeployLock:
        """Deploys and changes of configuration are refused there, once it returns. Repeated: the later expiry counts."""
        order = {"owner": owner, "reason": reason, "expires_seconds": expires.total_seconds()}
        return self._understood(region, _Lock, self._call(region, "POST", "/lock", order)).lock

    def unlock(self, region: str, owner: str) -> tuple[str, ...]:
        """Takes the locks of ``owner`` and of ``owner/…`` away; whose they were. Transient (409) on a read-only database that has one."""
        return self._understood(region, _Unlocked, self._call(region, "POST", "/unlock", {"owner": owner})).unlocked

    def _understood(self, region: str, sort: type[R], body: Json) -> R:
        try:
            return sort.model_validate(body)
        except ValidationError as error:
            text = f"{self._peers[region]}: its answer is not understood: {error.error_count()} fields differ"
            raise Permanent(text, hint="check the runtime's version") from error

    def _call(self, region: str, method: str, path: str, body: Json = None, *, also: Collection[int] = ()) -> Json:
        """The body of an answer that is a success, or has a status of ``also``."""
        peer = self._peers[region]
        headers = {"Authorization": f"Bearer {self._token()}"}
        answer = self._https.request(peer, method, path, {} if method == "POST" and body is None else body, headers)
        if not 200 <= answer.status < 300 and answer.status not in also:
            raise failure(peer, answer)
        return answer.body
