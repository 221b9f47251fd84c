"""boto3 clients: made once for each place and service, shared by threads; one that reads and one that acts.

boto3 is imported when the first client is made (225–340 ms): what never calls AWS never pays for it.
"""

from __future__ import annotations

import gzip
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic_core import from_json

from dr.errors import Permanent
from dr.model.runbook import AwsRole
from dr.ports import Clock, Secrets
from dr.providers.aws.place import Place
from dr.providers.aws.problems import NO_CREDENTIALS, is_silence

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.session import Session

CONNECT_SECONDS = 1.0
STS_SECONDS, READ_SECONDS, ACT_SECONDS = 1.5, 4.0, 30.0
"""Until an answer: of STS, where another region's may be asked instead; to a read; to an act, which is sent once, and whose late answer is
worth more than a doubt."""
_READS, _STS_READS = 3, 2
"""Attempts of a read, by boto3's mode ``standard``. ``adaptive`` holds up every thread of the process for the throttling of one."""
GONE_SECONDS = 5.0
"""So long nobody tries an endpoint again that could not be reached: a dead region costs a time-out once, not one for each step."""
_CONNECTIONS = 64


class Gone:
    """Which endpoints could not be reached a moment ago. Threads may ask and tell at once.

    An endpoint that takes connections and answers nothing is gone, too, once one request has waited in vain and nobody was answered since
    that request was sent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._lock = Lock()

    def tell(self, host: str, problem: BaseException | None) -> None:
        """What came of a request: None: an answer, whichever."""
        from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

        now = self._clock.monotonic()
        with self._lock:
            if problem is None:
                self._answered[host] = now
                self._until.pop(host, None)
                return
            away = isinstance(problem, (ConnectTimeoutError, EndpointConnectionError)) and not isinstance(problem, _Spared)
            mute = isinstance(problem, ReadTimeoutError) and self._answered.get(host, -1.0) < now - READ_SECONDS
            if away or mute:
                self._until[host] = now + GONE_SECONDS

    def is_gone(self, host: str) -> bool:
        """Whether to spare the attempt."""
        with self._lock:
            return self._until.get(host, -1.0) > self._clock.monotonic()


class _Spared:
    """Marks an error of ours that stands for an attempt that was not made."""


class Clients:
    """All clients of a process.

    Args:
        secrets: where the external ids of roles come from.
    """

    def __init__(self, clock: Clock, secrets: Secrets) -> None:
        self._secrets, self.gone = secrets, Gone(clock)
        self._sessions: dict[tuple[str, str, AwsRole | None], Session] = {}
        self._made: dict[tuple[Place, str, bool], BaseClient] = {}
        self._wanted: dict[tuple[Place, str, bool], Lock] = {}
        self._lock, self._making = Lock(), Lock()
        self._loader: Any = None
        self.elsewhere: Callable[[Place], Iterable[Place]] = lambda place: ()
        """The STS of other regions, for whom the own one is silent."""

    def of(self, place: Place, service: str, *, act: bool, home: str = "", through: Place | None = None) -> BaseClient:
        """The client. Making one reads files, and takes on a role where one is named; nothing else is called.

        Args:
            home: the AWS region of an API that lives in one region only.
            through: another region whose endpoint is called with this place's credentials.

        Raises:
            Permanent: no such profile, or no credentials; CredentialMissing: the external id is not there.
        """
        where = place._replace(code=home or place.code) if through is None else through._replace(profile=place.profile, role=place.role)
        key = (where, service, act)
        if (made := self._made.get(key)) is not None:  # whoever has a call to make does not wait for those who make clients
            return made
        with self._lock:
            wanted = self._wanted.setdefault(key, Lock())
        with wanted:  # who wants this one waits for this one, and not for the queue of those that others want
            if (made := self._made.get(key)) is None:
                with self._making:  # botocore's sessions are not safe to share
                    made = self._make(where, service, act=act, signs=where if through is None else place)
                with self._lock:
                    self._made[key] = made
            return made

    def close(self) -> None:
        """Closes all connections; safe to call twice."""
        with self._lock:
            made, self._made = self._made, {}
        for client in made.values():
            client.close()

    def _make(self, place: Place, service: str, *, act: bool, signs: Place) -> BaseClient:
        from botocore.exceptions import BotoCoreError

        try:
            session = self._session(signs)
            reads = (STS_SECONDS, _STS_READS) if service == "sts" else (READ_SECONDS, _READS)
            seconds, attempts = (ACT_SECONDS, 1) if act else reads
            config = _config(seconds, attempts)
            where = {"region_name": place.code, "endpoint_url": place.endpoint or None}
            client = session.create_client(service, config=config, **where)
        except BotoCoreError as error:
            hint = f"aws configure list --profile {place.profile}" if place.profile else NO_CREDENTIALS
            raise Permanent(f"{place}: no way to call {service}: {error}", hint=hint) from None
        if _is_address(client.meta.endpoint_url):
            client.meta.events.register("before-sign", partial(_plain, urlsplit(client.meta.endpoint_url).netloc))
        return self._minded(client)

    def _minded(self, client: BaseClient) -> BaseClient:
        """Spares attempts on endpoints that are gone, and hears of those that are."""
        client.meta.events.register_first("before-send", self._spare)
        client.meta.events.register_first("needs-retry", self._heard)
        return client

    def access_key(self, place: Place) -> str:
        """The id of the access key with which a place's calls are signed now; a role is taken on for it. Empty: there is none to be had, or
        nothing was called with it yet."""
        from botocore.exceptions import BotoCoreError, ClientError

        session = self._sessions.get(self._signer(place))  # with credentials: a client was made of it
        try:
            credentials = session.get_credentials() if session is not None else None
            return str(credentials.get_frozen_credentials().access_key) if credentials is not None else ""
        except (BotoCoreError, ClientError):  # whoever calls is told
            return ""

    def _signer(self, place: Place) -> tuple[str, str, AwsRole | None]:
        return place.profile, place.code if place.role else "", place.role

    def _session(self, place: Place) -> Session:
        key = self._signer(place)
        if key not in self._sessions:
            session = self._new_session(place)
            if place.role is not None:
                session = self._as_role(session, place)
            self._sessions[key] = session
        return self._sessions[key]

    def _new_session(self, place: Place) -> Session:
        """A session that shares what was read of the services' models with all others: those are megabytes of JSON."""
        import botocore.session

        session = botocore.session.Session(profile=place.profile or None)
        if self._loader is None:
            self._loader = session.get_component("data_loader")
            self._loader.file_loader = _ModelFiles(self._loader.file_loader)
        session.register_component("data_loader", self._loader)
        return session

    def _as_role(self, base: Session, place: Place) -> Session:
        """A session whose credentials are those of the role, taken on through the region's own STS, or another where that is silent, and
        renewed in time."""
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        assert place.role is not None
        more: dict[str, str] = {"RoleSessionName": "dr"}
        if place.role.external_id is not None:
            more["ExternalId"] = self._secrets.get(place.role.external_id)

        def create(_sts: str, **options: Any) -> _Sts:
            def through(where: Place) -> BaseClient:
                more = {"region_name": where.code, "endpoint_url": where.endpoint or None, "config": _config(STS_SECONDS, _STS_READS)}
                return self._minded(base.create_client("sts", **{**options, **more}))

            return _Sts(through(where) for where in chain([place._replace(endpoint="")], self.elsewhere(place)))

        fetcher = AssumeRoleCredentialFetcher(create, base.get_credentials(), place.role.arn, extra_args=more)
        session = self._new_session(place)
        # botocore has no public way to hand credentials that renew themselves to a session
        session._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
        return session

    def _spare(self, request: Any, **_: object) -> None:
        from botocore.exceptions import EndpointConnectionError

        host = urlsplit(request.url).netloc
        if self.gone.is_gone(host):
            spared = type("Spared", (EndpointConnectionError, _Spared), {})
            raise spared(endpoint_url=f"https://{host}")

    def _heard(self, request_dict: Mapping[str, Any], caught_exception: BaseException | None, **_: object) -> None:
        host = urlsplit(request_dict["url"]).netloc
        self.gone.tell(host, caught_exception)
        if caught_exception is not None and self.gone.is_gone(host):
            raise caught_exception  # boto3 would sleep up to three seconds between attempts that are spared


class _Sts:
    """The client through which a role is taken on: the first STS that is not silent. Session tokens of a region's STS are valid in all:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html"""

    def __init__(self, clients: Iterator[BaseClient]) -> None:
        self._clients = clients

    def assume_role(self, **parameters: Any) -> Any:
        """As of botocore's client. Raises what the first one that was asked did, where none answered."""
        from botocore.exceptions import BotoCoreError, ClientError

        first: BotoCoreError | ClientError | None = None
        for client in self._clients:
            try:
                return client.assume_role(**parameters)
            except (BotoCoreError, ClientError) as error:
                first = first or error
                if not is_silence(error):
                    break
            finally:
                client.close()
        assert first is not None, "the region's own is asked"
        raise first


def _config(seconds: float, attempts: int) -> Config:
    from botocore.config import Config

    from dr import __version__

    return Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=seconds, retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=_CONNECTIONS, user_agent_extra=f"dr/{__version__}",
    )  # fmt: skip


class _ModelFiles:
    """How botocore reads its folder ``data``: the models of services, most of all. Its own reader makes ordered dictionaries
    of them, which takes three times as long (0.1 s more for a platform) and more memory; plain ones have the same order.

    Args:
        own: botocore's reader. It says which files there are.
    """

    def __init__(self, own: Any) -> None:
        self.exists = own.exists

    def load_file(self, path: str) -> Any:
        """What a file holds; botocore leaves its ending away. None: it is not there. Raises ValueError: it is no JSON."""
        if (plain := Path(f"{path}.json")).is_file():
            return from_json(plain.read_bytes())
        if (packed := Path(f"{path}.json.gz")).is_file():
            return from_json(gzip.decompress(packed.read_bytes()))
        return None


def _plain(netloc: str, request: Any, **_: object) -> None:
    """Some operations put a word in front of the host, by the service's model or by its rules for endpoints; "123456789012.127.0.0.1" is
    no host: where the endpoint is a bare address, the address is all there is."""
    request.url = urlunsplit(urlsplit(request.url)._replace(netloc=netloc))


def _is_address(url: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True
