"""The kind ``restart``: whoever holds connections from before the promotion lets go of them, by the user's own command.

PostgreSQL itself does not need it: sessions that were opened on a standby go on and take writes once it is promoted. Pools and proxies
do, where they sort servers into readable and writable ones and look only when they connect.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import Field, model_validator

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.base import Duration, Frozen
from dr.model.evidence import CommandRan, Evidence, Note
from dr.model.plan import StepSpec, Touch
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Host, Look, Seen, Site, Step
from dr.providers import shell
from dr.providers.generic.command import Argv, program
from dr.providers.generic.host import NOT_REACHABLE
from dr.providers.generic.person import MOVES, Bystander
from dr.providers.one_way import OneWay
from dr.providers.regions import known_regions

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

# These run on a primary only: they start with the promotion, by the server's own clock, and the first of them dates it. A moment after
# pg_promote has answered none may run yet: then nothing is counted, and no number is the answer.
_OLD = """
SELECT CASE WHEN promoted.at IS NOT NULL THEN (
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name LIKE %(name)s AND backend_start < promoted.at
) END FROM (
    SELECT min(backend_start) AS at FROM pg_stat_activity
    WHERE backend_type IN ('walwriter', 'autovacuum launcher', 'logical replication launcher')
) AS promoted
"""
_MAY_SEE = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"


@runtime_checkable
class DatabaseServers(Protocol):
    """What this kind asks of the component that ``database`` names (kind ``postgres``, or whatever connects like it)."""

    def connect(self, region: str, database: str | None = None) -> Connection:
        """A new connection in autocommit mode, every wait bounded. Raises StepError."""


@runtime_checkable
class TypedDatabases(Protocol):
    """What a component offers to people who type."""

    def psql(self, region: str, database: str | None = None) -> str:
        """``psql`` to a region's server, ready for ``-c``; prints bare values."""


class RegionRestart(Frozen):
    """What lets go of old connections in one region. ``check``: exits 0 once nobody holds one any more."""

    run: Argv
    check: Argv | None = None


class RestartConfig(KindConfig):
    """Settings of ``restart``.

    regions: the command of each region, run on its hosts when the region becomes primary; safe to run twice, as a restart is.
    database: the component on whose promoted server sessions from before the promotion are counted: none may be left.
    applications: of those sessions that count, the ``application_name``; ``%`` stands for anything.
    """

    regions: dict[str, RegionRestart] = Field(min_length=1)
    database: str | None = None
    applications: str = Field("%", min_length=1)
    intents: tuple[Intent, ...] = Field(MOVES, min_length=1)
    timeout: Duration = timedelta(seconds=30)
    estimate: Duration = timedelta(seconds=1)

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if Intent.REPROTECT in self.intents:
            raise ValueError("intents: a re-protect promotes nothing")
        return self


class LetGo(OneWay):
    """Runs the command in the target's region and sees that no old session is left."""

    def __init__(self, component: str, config: RestartConfig, region: str, host: Host, site: Site) -> None:
        self._component, self._config, self._region, self._host, self._site = component, config, region, host, site

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no session is older than the promotion, and the check says so. Without either, or where that is not known yet, it runs."""
        old, checked = self._old(), self._checked()
        if old or checked is False:
            return Seen(Look.NEEDED, self._said(old), (Note(text=self._said(old)),) if old else ())
        return Seen(Look.NEEDED) if old is None and checked is None else Seen(Look.DONE, "nobody holds a connection from before")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Runs it.

        Raises:
            EffectUnknown: killed, out of time, or the host was not reachable. Transient: it failed.
        """
        argv = self._config.regions[self._region].run
        began = context.clock.monotonic()
        status = self._host.run(argv, timeout=self._config.timeout).status
        took = timedelta(seconds=context.clock.monotonic() - began)
        if status == NOT_REACHABLE:
            raise EffectUnknown(f"{program(argv)}: {self._region} is not reachable, or it was killed (exit status 255)")
        if status != 0:
            raise Transient(f"{program(argv)} ended with exit status {status}; its output is not kept")
        return (CommandRan(program=program(argv), exit_status=status, duration=took),)

    def verify(self, context: AttemptContext) -> Seen:
        """Asked again until no old session is left; without a question the exit status was the proof."""
        old = self._old()
        if old or self._checked() is False:
            return Seen(Look.NEEDED, self._said(old))
        text = self._said(old) if old is not None else "restarted"
        return Seen(Look.DONE, text, (Note(text=text),))

    def _said(self, old: int | str | None) -> str:
        if isinstance(old, str):
            return old
        return f"{old} sessions from before the promotion" if old is not None else "the check says that old connections are held"

    def _old(self) -> int | str | None:
        """How many sessions are older than the promotion, or why that is not known yet; None where nobody asked to count them."""
        if self._config.database is None:
            return None
        servers = self._site.peers.get(self._config.database)
        if not isinstance(servers, DatabaseServers):
            raise Permanent(f"{self._component}: database: {self._config.database} is no component with databases")
        import psycopg

        connection, problem = servers.connect(self._region), ""
        try:
            row = connection.execute(_OLD, {"name": self._config.applications}).fetchone()
            if row and row[0] is not None:
                return int(row[0])
            if connection.execute(_MAY_SEE).fetchone() == (True,):
                return f"not known yet since when {self._region} takes writes: nothing of a primary runs there yet"
            problem = f"{self._component}: sessions in {self._region} cannot be counted: the user does not see those of others"
        except psycopg.Error as error:
            problem = f"{self._component}: sessions in {self._region} cannot be counted: {type(error).__name__}"
        finally:
            connection.close()
        raise Transient(problem, hint="the user needs pg_monitor")  # outside the handler: psycopg's error knows the password

    def _checked(self) -> bool | None:
        argv = self._config.regions[self._region].check
        if argv is None:
            return None
        try:
            status = self._host.run(argv, timeout=self._config.timeout).status
        except EffectUnknown as error:
            raise Transient(f"the check did not end in time: {error.message}") from error
        if status == NOT_REACHABLE:
            raise Transient(f"the check {program(argv)} could not be run in {self._region}")
        return status == 0


class Restart(Bystander):
    """Restarts what holds old connections in the region that has just become primary, before anything is verified there.

    Protects from pools that go on with a server that they once found read-only. Needs a command for each region, and ``needs`` of the
    database; what needs this component is verified and started after it.
    """

    kind: ClassVar[str] = "restart"
    Config: ClassVar[type[KindConfig]] = RestartConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, RestartConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config
        known_regions(name, config.regions, site)
        missing = sorted(config.regions.keys() - site.hosts.keys())
        if missing:
            raise UsageError(f"{name}: no host for {', '.join(missing)}", hint=f"write regions: {{{missing[0]}: {{host: {{exec: […]}}}}}}")
        if config.database is not None and config.database not in needs:
            raise UsageError(f"{name}: database: {config.database} is not in needs", hint=f"write needs: [{config.database}]")

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step, where the target has a command."""
        there = self._config.regions.get(target)
        if intent not in self._config.intents or there is None:
            return ()
        services: tuple[tuple[str, Literal["control", "data"]], ...] = (("host", "control"),)
        if self._config.database is not None:
            services += (("database", "data"),)
        spec = StepSpec(
            id=f"{self.name}/restart", component=self.name, kind=self.kind, verb=Verb.RESTART, region=target,
            title=f"{target} holds no connection from before: {program(there.run)}", estimate=self._config.estimate,
            budget=self._config.timeout * 6, max_attempts=3, by_hand=self._typed(target, there.run),
            check_by_hand=self._check_by_hand(target, there),
            touches=tuple(Touch(service=service, plane=plane, region=target) for service, plane in services),
            permissions=(f"to run {program(there.run)} on the host of {target}", *(("pg_monitor",) if self._config.database else ())),
        )  # fmt: skip
        return (Step(spec, LetGo(self.name, self._config, target, self.site.hosts[target], self.site)),)

    def _typed(self, region: str, argv: Argv) -> str:
        return shell.on_host(self.site.regions[region].host, self.site.base, [shlex.quote(word) for word in argv])

    def _check_by_hand(self, region: str, there: RegionRestart) -> str:
        """The check of the runbook, else the question that this kind asks itself, else a look at what was run."""
        if there.check is not None:
            return self._typed(region, there.check)
        peer = self.site.peers.get(self._config.database or "")
        if not isinstance(peer, TypedDatabases):
            return f"echo 'look whether {program(there.run)} has done its work'"
        question = " ".join(_OLD.replace("%(name)s", "'" + self._config.applications.replace("'", "''") + "'").split())
        return f"{peer.psql(region)} -c {shlex.quote(question)} | grep -qx 0"
