"""What a person types to do and to check each step of a PostgreSQL component, with ``psql`` and, on the hosts, PostgreSQL's own programs.

The statements are the ones that the operations send; what those find out by looking (timelines, sizes) is left to the person's eye.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from dr.model.by_hand import MARK, Question, Typed
from dr.model.runbook import Region
from dr.providers import shell
from dr.providers.selfhosted.postgres.config import PostgresConfig

_ROLE = """\
SELECT CASE WHEN pg_is_in_recovery() THEN 'secondary'
  ELSE 'primary, timeline ' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"""
_POINT = "SELECT 'newest commit', pg_last_xact_replay_timestamp(), 'now', now()"
_BEAT_POINT = "SELECT 'newest heartbeat', region, beat_at FROM dr.heartbeat WHERE component = '{component}'"

_PROMOTE = """\
SELECT 'ALTER SYSTEM SET synchronous_standby_names = ''''' WHERE current_setting('synchronous_standby_names') <> '' \\gexec
SELECT 'SELECT pg_reload_conf()' WHERE current_setting('synchronous_standby_names') <> '' \\gexec
{make_slot};
SELECT pg_promote(false) WHERE pg_is_in_recovery();"""

_BEAT = """\
CREATE SCHEMA IF NOT EXISTS dr;
CREATE TABLE IF NOT EXISTS dr.heartbeat(
  component text PRIMARY KEY, region text NOT NULL, beat_at timestamptz NOT NULL, number bigint NOT NULL);
INSERT INTO dr.heartbeat AS h (component, region, beat_at, number) VALUES ('{component}', '{region}', now(), 1)
  ON CONFLICT (component) DO UPDATE SET region = excluded.region, beat_at = excluded.beat_at, number = h.number + 1
  RETURNING region, beat_at;"""

_FRESH = """\
SELECT region = '{region}' AND beat_at > now() - interval '10 minutes' AND NOT pg_is_in_recovery()
  FROM dr.heartbeat WHERE component = '{component}'"""

_SLOT = """\
SELECT slot_name FROM pg_create_physical_replication_slot('{slot}', true)
  WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}')"""

_STREAMS = "SELECT coalesce((SELECT status FROM pg_stat_wal_receiver) = 'streaming', false) AND pg_is_in_recovery()"

_HERE = "SQL"


class ByHand:
    """The commands of one component.

    Args:
        component: its name.
        regions: with the way to each region's hosts.
        base: the runbook's folder.
    """

    def __init__(self, component: str, config: PostgresConfig, regions: Mapping[str, Region], base: Path) -> None:
        self._component, self._config, self._regions, self._base = component, config, regions, base

    def psql(self, region: str, database: str | None = None) -> str:
        """``psql`` as the component's role, without a statement; prints bare values, ends with a failure at the first error.

        Args:
            database: as one word of the shell; the component's own when none is named.
        """
        config, server = self._config, self._config.regions[region]
        words = [] if config.password is None else [f"PGPASSWORD={shell.secret(self._base, config.password)}"]
        words += ["PGCONNECT_TIMEOUT=5"]
        if config.sslmode is not None:
            words.append(f"PGSSLMODE={config.sslmode}")
        if config.sslrootcert is not None:
            words.append(f"PGSSLROOTCERT={shell.absolute(self._base, config.sslrootcert)}")
        where = f"-h {shlex.quote(server.address)} -p {server.port} -U {shlex.quote(config.user)}"
        return " ".join([*words, f"psql -X -qAt -v ON_ERROR_STOP=1 {where} -d {database or shlex.quote(config.database)}"])

    def question(self, region: str) -> Question:
        """How to ask whether the region is the primary, and what it holds."""
        beat = _BEAT_POINT.format(component=self._component)
        return Question(
            component=self._component, region=region, primary=self._ask(region, _ROLE),
            reads="`primary`; of two that say so, the one with the greater timeline has the newer copy, the other one is an old primary",
            recovery_point=f"{self._ask(region, _POINT)}\n{self._ask(region, beat)}",
        )  # fmt: skip

    def prepare(self, target: str) -> Typed:
        """The target can be promoted."""
        look = "SELECT pg_is_in_recovery(), pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()"
        may = "SELECT pg_is_in_recovery() AND has_function_privilege('pg_promote(boolean,integer)', 'execute')"
        return Typed(self._ask(target, look), self._true(target, may))

    def drain(self, source: str, target: str) -> Typed:
        """The target has what the source had written when it was asked."""
        written = self._ask(source, "SELECT pg_current_wal_lsn()")
        arrived = f"{self.psql(target)} -c \"SELECT pg_wal_lsn_diff('$written', pg_last_wal_replay_lsn()) <= 0\" | grep -x t"
        return Typed(self._ask(source, "CHECKPOINT"), f"written=$({written})\n{shell.until(arrived, 60)}")

    def fence(self, source: str, mode: str, *, in_order: bool = False) -> Typed:
        """The source is stopped. ``in_order``: it says itself that it wrote everything out."""
        server = self._config.regions[source]
        if server.stop is not None:
            stop = self._host(source, *map(shlex.quote, server.stop))
        else:
            stop = self._host(source, self._tool(source, "pg_ctl"), "stop", *self._in_data(source), "-m", mode)
        gone = f"{self._host(source, self._tool(source, 'pg_ctl'), 'status', *self._in_data(source))}; [ $? -eq 3 ]"
        if in_order:
            gone += f" && {self._host(source, self._tool(source, 'pg_controldata'), *self._in_data(source))} | grep 'state: *shut down$'"
        return Typed(stop, gone)

    def promote(self, source: str, target: str, *, planned: bool) -> Typed:
        """The target takes writes; planned: only where it has everything that the stopped source ever wrote."""
        statements = _PROMOTE.format(make_slot=_SLOT.format(slot=self._config.slot(source)))
        ask = f"{self.psql(target)} <<'{_HERE}'\n{statements}\n{_HERE}"
        if planned:
            control = self._host(source, self._tool(source, "pg_controldata"), *self._in_data(source))
            final = f"final=$({control} | sed -n 's/^Latest checkpoint location: *//p') &&"
            arrived = f"{self.psql(target)} -c \"SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '$final') > 0\" | grep -x t &&"
            ask = f"{final}\n{arrived}\n{ask}"
        again = self._ask(target, "SELECT pg_promote(false) WHERE pg_is_in_recovery()")
        check = shell.until(f"{self._true(target, 'SELECT NOT pg_is_in_recovery()')} || {{ {again}; false; }}", 150, 0.2)
        return Typed(ask, check)

    def verify(self, target: str) -> Typed:
        """A write of the target's own, and the same read back."""
        write = f"{self.psql(target)} <<'{_HERE}'\n{_BEAT.format(component=self._component, region=target)}\n{_HERE}"
        return Typed(write, self._true(target, _FRESH.format(component=self._component, region=target)))

    def preserve(self, source: str) -> Typed:
        """A copy of the stopped source's data, as it is: the writes that never reached the target are in it and nowhere else."""
        known, data, copy = self._data(source)
        exists = self._host(source, "test", "-e", copy)
        return Typed(
            f"{known}{exists} || {self._host(source, 'cp', '-a', data, copy)}",
            f"{known}{self._host(source, 'diff', '-r', '-q', data, copy)}",
        )

    def follow(self, source: str, target: str) -> Typed:
        """The stopped source is brought to the target's history, and started as its secondary."""
        config, server = self._config, self._config.regions[source]
        known, data, _ = self._data(source)
        follows, slot = server.follows, config.slot(source)
        upstream = f"host={follows.address} port={follows.port} user={follows.user or config.user} application_name={source}"
        if config.sslmode is not None:
            upstream += f" sslmode={config.sslmode}"
        rewind = [self._tool(source, "pg_rewind"), "--target-pgdata", data, "--source-server", f'"{upstream} dbname={config.database}"']
        if server.config_file is not None:
            rewind += ["--config-file", shlex.quote(server.config_file)]
        settings = f"primary_conninfo = '{upstream}'\nprimary_slot_name = '{slot}'"
        start = self._start(source, data)
        do = f"""{self._ask(target, "CHECKPOINT")} && {self._ask(target, _SLOT.format(slot=slot))} &&
{known}{self._host(source, *rewind)} &&
{self._host(source, "tee", "-a", f'{data}/postgresql.auto.conf')} <<'CONF' &&
{settings}
CONF
{self._host(source, "touch", f"{data}/standby.signal")} && {start}"""
        return Typed(do, shell.until(self._true(source, _STREAMS), 60))

    def _start(self, region: str, data: str) -> str:
        server = self._config.regions[region]
        if server.start is not None:
            return self._host(region, *map(shlex.quote, server.start))
        log = shlex.quote(server.log_file) if server.log_file else f"{data}/dr-start.log"
        return self._host(region, self._tool(region, "pg_ctl"), "start", *self._in_data(region), "-w", "-s", "-l", log)

    def _ask(self, region: str, statement: str) -> str:
        return f"{self.psql(region)} -c {_quoted(statement)}"

    def _true(self, region: str, statement: str) -> str:
        return f"{self._ask(region, statement)} | grep -x t"

    def _host(self, region: str, *words: str) -> str:
        access = self._regions[region].host if region in self._regions else None
        return shell.on_host(access, self._base, words)

    def _tool(self, region: str, program: str) -> str:
        return shlex.quote(self._config.regions[region].tool(program))

    def _in_data(self, region: str) -> tuple[str, ...]:
        data = self._config.regions[region].data_directory
        return ("-D", shlex.quote(data)) if data else ()

    def _data(self, region: str) -> tuple[str, str, str]:
        """What finds the data directory out, the directory and the place of its copy, each as one word of the shell here."""
        server = self._config.regions[region]
        if server.data_directory is None:
            known, data = f"data=$({self._host(region, 'printenv', 'PGDATA')}) && ", '"$data"'
        else:
            known, data = "", shlex.quote(server.data_directory)
        return known, data, f"{server.preserve_directory}/kept-{MARK}" if server.preserve_directory else f"{data}.kept-{MARK}"


def _quoted(statement: str) -> str:
    """In double quotes where that reads better than SQL's quotes escaped."""
    return f'"{statement}"' if "'" in statement and not set('"$`\\') & set(statement) else shlex.quote(statement)
