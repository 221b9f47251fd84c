"""Service as anybody outside sees it: each name is looked up, leads to the target alone, and answers there.

It reads. That is less than a component does that writes (``airflow-deployments``), and the evidence says no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dr.errors import StepError, Transient
from dr.model.evidence import Evidence, Healthy, Note
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.route53.config import Probe
from dr.providers.aws.route53.step import ZoneStep
from dr.providers.generic.checks.web import Request, Web

if TYPE_CHECKING:
    from dr.providers.aws.route53.kind import Route53Records

_AT_ONCE = 16


class VerifyOutside(ZoneStep):
    """Asks all names at once; all must answer in one attempt."""

    def __init__(self, owner: Route53Records, source: str, target: str, probe: Probe) -> None:
        super().__init__(owner, source, target)
        self._probe = probe
        authority = None if probe.certificate_authority is None else owner.site.base / probe.certificate_authority
        self._web = Web(authority, owner.site.clock)

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: what held a while ago says nothing about now."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises Transient: some do not answer as they should, with the first and how many. Changes nothing: it may be repeated."""
        names = self.owner.hosts(self.target)
        led = self.owner.lookup.regions(names)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"{self.owner.name}-probe") as pool:
            wrong = [text for text in pool.map(lambda name: self._wrong(name, led[name]), names) if text]
        context.say(f"{len(names) - len(wrong)} of {len(names)} names answer in {self.target}")
        if wrong or not names:
            more = f" (and {len(wrong) - 1} more of {len(names)} names)" if len(wrong) > 1 else ""
            raise Transient((wrong[0] if wrong else "no name is known") + more)
        text = f"{self.owner.name}: {len(names)} names lead to {self.target} and answer there; nothing was written"
        return (Healthy(component=self.owner.name, total=len(names), healthy=len(names)), Note(text=text))

    def verify(self, context: AttemptContext) -> Seen:
        """What was seen was seen."""
        return Seen(Look.DONE)

    def _wrong(self, name: str, led: Sequence[str] | StepError) -> str:
        """Why a name does not work in the target; empty where it does. Every address of it must answer: a client may be given any."""
        if isinstance(led, StepError):
            return led.message
        if list(led) != [self.target]:
            return f"{name} leads to {' and '.join(led) or 'no region of the runbook'}, not yet to {self.target} alone"
        try:
            for address in self.owner.lookup.addresses(name):
                request = Request(self._probe.url.replace("{name}", name), self._probe.timeout, address=address)
                status = self._web.look(request).status
                if status not in self._probe.status:
                    return f"{request}: status {status}, expected {' or '.join(str(good) for good in self._probe.status)}"
        except StepError as error:
            return error.message
        return ""
