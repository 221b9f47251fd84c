"""Aws: what kinds call. One for each platform and process: its clients, its budgets, whose account it is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from dr.errors import DrError, Permanent, StepError, UsageError
from dr.model.runbook import AwsRegion, AwsRole
from dr.ports import AttemptContext, Site
from dr.providers.aws.calls import Call
from dr.providers.aws.clients import Clients
from dr.providers.aws.identity import Identity
from dr.providers.aws.pace import Paces
from dr.providers.aws.place import Place
from dr.providers.aws.problems import failed, refused

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

T = TypeVar("T")

Answer = Mapping[str, Any]
"""What an API answered: its documented shape, without ``ResponseMetadata``."""

WHO = Call("sts", "GetCallerIdentity", plane="data")
"""Whose credentials these are. Needs no permission. https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html"""
WHO_ELSE = "nothing: where it is silent, the runbook's other regions are asked, or what the same access key was told before counts"
"""How a step does without the STS of its region."""

_CODE = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")
_WIDTH = 32
"""Calls of one process under way at once."""


class Aws:
    """Calls AWS. Threads may use it at once. ``Aws.of(site)`` gives the one that all components share."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.clients = Clients(site.clock, site.secrets)
        self._paces = Paces(site.clock)
        self.clients.elsewhere = self._elsewhere
        self._identity = Identity(self.clients, self._who, self._elsewhere)
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._met: set[Place] = set()
        self._meeting = Lock()

    @classmethod
    def of(cls, site: Site) -> Aws:
        """The platform's."""
        made = site.shared.get("aws")
        if made is None:
            made = site.shared["aws"] = cls(site)
        assert isinstance(made, cls), "the word is ours"
        return made

    def place(self, region: str, role: AwsRole | None = None) -> Place:
        """A region of the runbook as AWS knows it. Raises UsageError: it is none of AWS's."""
        settings = self.site.regions[region].aws or AwsRegion()
        code = settings.region or region
        if not _CODE.match(code):
            raise UsageError(f"regions.{region}: not a region of AWS", hint=f"write {region}: {{aws: {{region: us-west-2}}}}")
        return Place(region, code, settings.profile or "", settings.account or "", role or settings.role)

    def read(self, place: Place, call: Call, **parameters: Any) -> Answer:
        """Asks. Attempts are repeated by boto3, a few times.

        Raises:
            Transient: no answer, or not now. Permanent: the API says no for good.
        """
        assert not call.act, f"{call} acts"
        return self._call(place, call, parameters)

    def pages(self, place: Place, call: Call, **parameters: Any) -> Iterator[Answer]:
        """All pages, one call each. Raises as ``read``; Permanent where the API gives one page again and again."""
        self.check(place)
        client = self._client(place, call)
        name = _method(call)
        if not client.can_paginate(name):
            yield self.read(place, call, **parameters)
            return
        following = iter(client.get_paginator(name).paginate(**parameters))
        while (page := self._sent(place, call, lambda: next(following, None))) is not None:
            yield page

    def act(self, context: AttemptContext | None, place: Place, call: Call, *, already: Collection[str] = (), **parameters: Any) -> Answer:
        """Changes something; sent once.

        Args:
            context: of the step; asked once more whether it may act. None: outside of any run (setting up).
            already: error codes that mean that it is so already: an empty answer.

        Raises:
            Transient: nothing happened. EffectUnknown: it may have. Permanent: the API says no for good, or this process may not act.
        """
        assert call.act, f"{call} only asks"
        if context is not None and not context.may_act():
            raise Permanent(f"{context.step.id}: this process may not act any more")
        self._identity.need(place)
        from botocore.exceptions import ClientError

        try:
            return self._call(place, call, parameters)
        except StepError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and _code(cause) in already:
                return {}
            raise

    def account(self, place: Place) -> str:
        """Whose credentials those of a place are, 12 digits. Asked once; where its own STS is silent, that of others. Raises StepError."""
        return self._identity.account(place)

    def _who(self, place: Place, through: Place | None) -> str:
        client = self.clients.of(place, WHO.service, act=WHO.act, through=through)
        answer = self._sent(place if through is None else through, WHO, lambda: client.get_caller_identity())
        assert answer is not None, "an API answers"
        return str(answer["Account"])

    def _elsewhere(self, place: Place) -> Iterator[Place]:
        """The STS of the runbook's other regions: there, where those regions' own profiles have it."""
        codes = {place.code}
        for region in self.site.regions:
            with contextlib.suppress(DrError):  # no region of AWS, no such profile
                other = self.place(region)
                if other.code not in codes:
                    codes.add(other.code)
                    client = self.clients.of(other._replace(role=None), WHO.service, act=WHO.act)
                    yield other._replace(endpoint=str(client.meta.endpoint_url))

    def check(self, place: Place) -> None:
        """Nothing is called where the account is another one than the runbook says; one call the first time, none where it says nothing.

        Raises:
            Transient: nobody says, neither there nor in another region of the runbook. Permanent: the account is another one.
        """
        if not place.account:
            return
        found = self.account(place)
        if found != place.account:
            raise Permanent(
                f"{place}: the credentials belong to account {found}, and the runbook says {place.account}",
                hint=f"another profile, or correct regions.{place.region}.aws.account",
            )

    def lost(self, place: Place) -> bool:
        """Its own STS did not answer, and no run acts there: where it is gone, each service of it would cost a time-out, too."""
        return self._identity.lost(place)

    def warm(self, place: Place, *calls: Call) -> None:
        """Looks whose account it is, and meanwhile makes the clients that some calls need. Raises as ``check``."""
        self._identity.need(place)
        self.meet((place,))
        for call in calls:
            self._client(place, call)
        self.check(place)

    def meet(self, places: Iterable[Place]) -> None:
        """Begins to ask whose account it is, in the background, once for each place: before anything else is made, so that the time-out
        of a region that is lost goes by meanwhile."""
        with self._meeting:
            for place in places:
                if place.account and place not in self._met:
                    self._met.add(place)
                    with contextlib.suppress(DrError):  # whoever calls is told
                        self.clients.of(place, WHO.service, act=WHO.act)
                    self.start(partial(self._meet, place))

    def _meet(self, place: Place) -> None:
        with contextlib.suppress(DrError):
            self.account(place)

    def start(self, job: Callable[[], T]) -> Future[T]:
        """A job beside others. It must start none itself: all of them share one pool."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_WIDTH, thread_name_prefix="aws")
            return self._pool.submit(job)

    def many(self, jobs: Collection[Callable[[], T]]) -> list[T | StepError]:
        """Jobs at the same time; results in order, errors in their places. They must start none themselves."""
        found: list[T | StepError] = []
        for future in [self.start(job) for job in jobs]:
            try:
                found.append(future.result())
            except StepError as error:
                found.append(error)
        return found

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        self.clients.close()

    def _client(self, place: Place, call: Call) -> Any:
        return self.clients.of(place, call.service, act=call.act, home=call.home)

    def _call(self, place: Place, call: Call, parameters: Mapping[str, Any]) -> Answer:
        self.check(place)
        method = getattr(self._client(place, call), _method(call))
        answer = self._sent(place, call, lambda: method(**parameters))
        assert answer is not None, "an API answers"
        return answer

    def _sent(self, place: Place, call: Call, send: Callable[[], dict[str, Any] | None]) -> Answer | None:
        """One call, in its turn, with its error in our words. A refusal of the API stays the cause of ours; nothing else does: it may
        hold what was sent."""
        from botocore.exceptions import BotoCoreError, ClientError

        self._paces.of(place.account, call.home or place.code, call.service, call.operation).take()
        problem: StepError
        try:
            answer = send()
        except ClientError as error:
            raise refused(call, place, error) from error
        except BotoCoreError as error:
            problem = failed(call, place, error)
        else:
            if answer is not None:
                answer.pop("ResponseMetadata", None)
            return answer
        raise problem


def _method(call: Call) -> str:
    from botocore import xform_name

    return str(xform_name(call.operation))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
