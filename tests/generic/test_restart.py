"""Who holds connections from before the promotion lets go of them: by a command, seen by the database itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from dr.engine.attempt import attempt
from dr.errors import UsageError
from dr.lab import credentials
from dr.lab.lab import Lab
from dr.lab.layout import CONTROL_PORT, Deployment
from dr.model.evidence import CommandRan, Note
from dr.model.runbook import HostAccess, Region
from dr.model.scenario import Fault, Target
from dr.model.words import Intent, Outcome, Verb
from dr.ports import AttemptContext, Clock, Completed, Host, Look, Site, Step
from dr.providers.airflow.fleet import Fleet
from dr.providers.generic.host import CommandHost
from dr.providers.generic.restart import Restart, RestartConfig
from dr.providers.system import SystemClock
from tests.airflow.world import Files, Kept, Servers, config
from tests.airflow.world import site as lab_site
from tests.postgres.rig import poll

CLOCK = SystemClock()


class Pool:
    """A host whose command drops the sessions that a pool holds, and the server that counts them.

    Args:
        old: None: the server does not show since when it takes writes, so it gives no number.
        sees: the user may see other people's sessions.
    """

    def __init__(self, old: int | None, *, drops: bool = True, status: int = 0, sees: bool = True) -> None:
        self.old, self.drops, self.status, self.sees, self.ran = old, drops, status, sees, list[tuple[str, ...]]()
        self._row: tuple[object] = (None,)

    def run(self, argv: Sequence[str], *, timeout: timedelta | None = None, stdin: str | None = None) -> Completed:
        self.ran.append(tuple(argv))
        if argv[0] == "holds":
            return Completed(1 if self.old else 0, "", "")
        self.old = 0 if self.drops and self.status == 0 else self.old
        return Completed(self.status, "planted-secret", "")

    def connect(self, region: str, database: str | None = None) -> Any:
        assert (region, database) == ("west", None)
        return self

    def execute(self, _query: str, params: dict[str, str] | None = None) -> Pool:
        assert params in ({"name": "runtime-%"}, None)
        self._row = (self.old if params else self.sees,)
        return self

    def fetchone(self) -> tuple[object]:
        return self._row

    def close(self) -> None:
        """As a connection."""


def step(tmp_path: Path, pool: Pool, **settings: object) -> Step:
    site = Site(
        runbook="mine", regions={"east": Region(), "west": Region()}, hosts={"east": pool, "west": pool}, clock=CLOCK,
        secrets=Files(tmp_path), samples=Kept(), artefacts=tmp_path, base=tmp_path, peers=cast("Any", {"db": pool}),
    )  # fmt: skip
    given = {"regions": {"west": {"run": ["systemctl", "restart", "pgbouncer"]}}, **settings}
    [made] = Restart("pools", RestartConfig.model_validate(given), ["db"], site).steps(Intent.FAILOVER, "east", "west")
    return made


def context(made: Step, seconds: float = 1.0) -> AttemptContext:
    return AttemptContext(
        run_id="run-1", step=made.spec, intent=Intent.FAILOVER, source="east", target="west", number=1, key="run-1/x", epoch=1,
        actor="on-call", clock=CLOCK, deadline=CLOCK.monotonic() + seconds,
    )  # fmt: skip


COUNTED = {"database": "db", "applications": "runtime-%"}


def test_old_sessions_are_counted_before_and_after(tmp_path: Path) -> None:
    """Seven sessions from before the promotion, none after the restart; a second attempt finds it done."""
    pool = Pool(7)
    made = step(tmp_path, pool, **COUNTED)
    result = attempt(made.operation, context(made))
    assert result.outcome is Outcome.DONE
    assert [item.text for item in result.evidence if isinstance(item, Note)] == [
        "7 sessions from before the promotion", "0 sessions from before the promotion",
    ]  # fmt: skip
    assert [item.program for item in result.evidence if isinstance(item, CommandRan)] == ["systemctl"]
    assert "planted" not in repr(result)
    assert attempt(made.operation, context(made)).outcome is Outcome.ALREADY
    assert pool.ran == [("systemctl", "restart", "pgbouncer")]


@pytest.mark.parametrize("settings", [COUNTED, {"regions": {"west": {"run": ["x"], "check": ["holds"]}}}])
def test_a_restart_that_does_not_let_go_is_not_done(tmp_path: Path, settings: dict[str, object]) -> None:
    """The exit status alone is no proof where there is a question to ask."""
    made = step(tmp_path, Pool(3, drops=False), **settings)
    assert attempt(made.operation, context(made, 0.2)).outcome is Outcome.UNKNOWN


def test_a_promotion_too_young_to_count_by_is_not_done(tmp_path: Path) -> None:
    """The WAL writer, whose start is the promotion, does not run yet: no number is not "nobody". It is restarted, and then counted."""
    pool = Pool(None)
    made = step(tmp_path, pool, **COUNTED)
    seen = made.operation.observe(context(made))
    assert seen.look is Look.NEEDED and "not known yet since when west takes writes" in seen.reason
    result = attempt(made.operation, context(made))
    assert result.outcome is Outcome.DONE
    assert [item.text for item in result.evidence if isinstance(item, Note)][-1] == "0 sessions from before the promotion"
    never = step(tmp_path, Pool(None, drops=False), **COUNTED)
    assert attempt(never.operation, context(never, 0.2)).outcome is Outcome.UNKNOWN


def test_a_user_who_does_not_see_the_sessions_of_others_counts_nothing(tmp_path: Path) -> None:
    """Nor the WAL writer: said with what is missing, and nothing is restarted."""
    pool = Pool(None, sees=False)
    made = step(tmp_path, pool, **COUNTED)
    result = attempt(made.operation, context(made))
    assert result.outcome is Outcome.RETRY
    assert "pg_monitor" in result.reason
    assert not pool.ran


def test_without_a_question_the_command_runs_once(tmp_path: Path) -> None:
    """A plain systemctl restart: its exit status counts."""
    pool = Pool(0)
    made = step(tmp_path, pool)
    assert attempt(made.operation, context(made)).outcome is Outcome.DONE
    assert len(pool.ran) == 1


@pytest.mark.parametrize(("status", "outcome"), [(1, Outcome.RETRY), (255, Outcome.UNKNOWN)])
def test_a_command_that_fails_is_tried_again(tmp_path: Path, status: int, outcome: Outcome) -> None:
    """A restart may be repeated; one that nobody answered for is looked at first."""
    made = step(tmp_path, Pool(1, status=status), **COUNTED)
    result = attempt(made.operation, context(made))
    assert result.outcome is outcome
    assert "planted" not in result.reason


def test_only_the_target_restarts(tmp_path: Path) -> None:
    """Where the target has no command there is no step; a re-protect promotes nothing."""
    made = step(tmp_path, Pool(0))
    assert (made.spec.verb, made.spec.region, made.spec.by_hand) == (Verb.RESTART, "west", "systemctl restart pgbouncer")
    assert made.spec.check_by_hand and made.spec.touches and made.spec.permissions
    site = Site(
        runbook="mine", regions={"east": Region(), "west": Region()}, hosts=cast("dict[str, Host]", {"west": Pool(0)}), clock=CLOCK,
        secrets=Files(tmp_path), samples=Kept(), artefacts=tmp_path, base=tmp_path, peers={},
    )  # fmt: skip
    config = RestartConfig.model_validate({"regions": {"west": {"run": ["x"]}}})
    kind = Restart("pools", config, [], site)
    assert not kind.steps(Intent.FAILBACK, "west", "east")
    assert not kind.steps(Intent.REPROTECT, "east", "west")
    with pytest.raises(UsageError, match="no host for west"):
        Restart("pools", config, [], replace(site, hosts={}))
    with pytest.raises(UsageError, match="db is not in needs"):
        Restart("pools", config.model_copy(update={"database": "db"}), [], site)
    with pytest.raises(ValidationError, match="promotes nothing"):
        RestartConfig.model_validate({"regions": {"west": {"run": ["x"]}}, "intents": ["reprotect"]})


@pytest.mark.lab
def test_the_labs_pools_go_on_after_a_promotion_and_let_go_when_told(fresh_lab: Lab, clock: Clock, tmp_path: Path) -> None:
    """West's runtime keeps its sessions of the standby, and they take writes once it is promoted: PostgreSQL needs no restart. Told to
    reconnect, none of them is left."""
    servers, layout = Servers(fresh_lab.layout), fresh_lab.layout
    token = tmp_path / "token"
    token.write_text(f"Authorization: Bearer {credentials.read_secret(layout, credentials.CONTROL)}")
    control = f"https://{layout.region('west').address}:{CONTROL_PORT}/reconnect"
    reconnect = ["curl", "-sS", "--fail", "-X", "POST", "-H", f"@{token}", "--cacert", str(layout.authority), control]
    settings = {"regions": {"west": {"run": reconnect}}, "database": "metadata-db", "applications": "runtime-%"}
    site = replace(lab_site(layout, clock, tmp_path), hosts={"west": CommandHost(HostAccess(exec=("env",)), tmp_path, CLOCK)})
    [made] = Restart("pools", RestartConfig.model_validate(settings), ["metadata-db"], site).steps(Intent.FAILOVER, "east", "west")
    fleet = Fleet("deployments", config(layout), site)
    seen = made.operation.observe(context(made))
    assert seen.look is Look.NEEDED and "not known yet" in seen.reason, "a standby has no promotion that anything could be older than"
    fresh_lab.inject(Fault(at="0s", kill=Target(region="east")))
    with servers.admin("west") as admin:
        admin.execute("SELECT pg_promote(true, 20)")
    for number in range(1, 6):
        fleet.write(fleet.public("west", Deployment(number).hostname_api), "west", f"after-{number}")
    # the WAL writer, by whose start they are counted, starts right after the promotion has been answered, or a moment later
    poll(lambda: "not known yet" not in made.operation.observe(context(made)).reason, "the WAL writer")
    seen = made.operation.observe(context(made))
    assert (seen.look, seen.reason) == (Look.NEEDED, "6 sessions from before the promotion"), "the writes went through them"
    result = attempt(made.operation, context(made, 20))
    assert result.outcome is Outcome.DONE
    assert [item.text for item in result.evidence if isinstance(item, Note)][-1] == "0 sessions from before the promotion"
    fleet.write(fleet.public("west", Deployment(1).hostname_api), "west", "reconnected")
    fleet.close()
