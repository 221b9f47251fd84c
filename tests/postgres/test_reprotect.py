"""Re-protect of real servers: what only the old primary has is kept and counted, and the newest copy is never overwritten (I17)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dr.errors import Permanent, Transient
from dr.model.evidence import Fenced, Following, Preserved
from dr.model.words import FenceState, Intent, Verb
from dr.ports import Look
from dr.providers.selfhosted.postgres import Postgres
from tests.postgres.rig import ADDRESS, Pair
from tests.postgres.test_failover import TO_WEST, step

pytestmark = pytest.mark.lab
EAST_FOLLOWS = (Intent.REPROTECT, "east", "west")


def split(pair: Pair, kind: Postgres, rows: range) -> None:
    """West is promoted while east goes on taking writes that never arrive there."""
    pair.write("east", 1)
    pair.caught_up("east")
    pair.folder("east").joinpath("reachable").unlink()
    pair.perform_all(kind, *TO_WEST, split=True)
    pair.write("east", *rows)
    pair.write("west", 500)
    pair.back("east")


def test_divergence_is_kept_counted_and_then_overwritten(pair: Pair, kind: Postgres) -> None:
    """Fifty acknowledged writes of the old primary: in the copy on its host, counted, and each file of the copy with its digest."""
    split(pair, kind, range(100, 150))
    pair.perform_all(kind, *EAST_FOLLOWS)
    kept = next(item for item in pair.evidence if isinstance(item, Preserved))
    assert kept.items == 50
    assert pair.ids("east") == [1, 500], "it follows the new primary"
    assert next(item for item in pair.evidence if isinstance(item, Following)).how == "rewound"
    fork = str(pair.one("west", "SELECT pg_read_file('pg_wal/00000002.history')")).split()[1]
    assert kept.fork_position == fork
    lines = Path(kept.manifest).read_text().splitlines()
    assert len(lines) == sum(1 for path in Path(kept.path).rglob("*") if path.is_file())
    for line in lines[:: len(lines) // 20]:
        digest, size, name = line.split(" ", 2)
        content = (Path(kept.path) / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), str(len(content))) == (digest, size)
    records = Path(kept.manifest).with_suffix(".wal.txt").read_text()
    assert records.count("desc: COMMIT") >= 50
    assert Path(kept.manifest).stat().st_mode & 0o077 == 0


def test_the_copy_can_be_started_and_has_the_rows(pair: Pair, kind: Postgres) -> None:
    """What was kept is a server: started from the copy, it gives the rows back."""
    split(pair, kind, range(100, 110))
    pair.perform_all(kind, *EAST_FOLLOWS)
    kept = next(item for item in pair.evidence if isinstance(item, Preserved))
    pair.stop("east")
    pair.exec("east", "pg_ctl", "-D", kept.path, "start", "-w", "-s", "-l", str(pair.folder("east") / "copy.log"))
    try:
        assert set(range(100, 110)) <= set(pair.ids("east"))
    finally:
        pair.exec("east", "pg_ctl", "-D", kept.path, "stop", "-s", "-m", "immediate")


def test_without_divergence_nothing_is_copied(pair: Pair, kind: Postgres) -> None:
    """The region died with everything replicated: the old primary follows again, and no copy is made."""
    pair.write("east", 1)
    pair.caught_up("east")
    pair.kill("east")
    pair.perform_all(kind, *TO_WEST)
    pair.write("west", 2)
    pair.back("east")
    pair.perform_all(kind, *EAST_FOLLOWS)
    assert pair.ids("east") == [1, 2]
    assert not [item for item in pair.evidence if isinstance(item, Preserved)]
    assert not list(pair.folder("east").glob("*dr-preserved*"))


def test_reprotect_again_finds_everything_done(pair: Pair, kind: Postgres) -> None:
    """The same command again: each step sees that it holds, nothing is stopped."""
    split(pair, kind, range(100, 103))
    pair.perform_all(kind, *EAST_FOLLOWS)
    started = pair.one("east", "SELECT pg_postmaster_start_time()")
    for item in kind.steps(*EAST_FOLLOWS):
        seen = item.operation.observe(pair.context(item, *EAST_FOLLOWS))
        assert seen.look is Look.DONE, f"{item.spec.id}: {seen.reason}"
    assert pair.one("east", "SELECT pg_postmaster_start_time()") == started


def test_a_rewind_that_is_impossible_becomes_a_new_copy(pair: Pair, kind: Postgres) -> None:
    """pg_rewind cannot work (its program fails): the divergence is kept all the same, and the server is copied anew."""
    split(pair, kind, range(100, 105))
    broken = pair.folder("east") / "exec"
    broken.write_text(broken.read_text().replace("cd ", 'if [ "$1" = pg_rewind ]; then echo "no" >&2; exit 1; fi; cd ', 1))
    pair.perform_all(kind, *EAST_FOLLOWS)
    assert next(item for item in pair.evidence if isinstance(item, Following)).how == "copied anew"
    assert next(item for item in pair.evidence if isinstance(item, Preserved)).items == 5
    assert pair.ids("east") == [1, 500]


def test_a_killed_rewind_is_taken_up_as_a_new_copy(pair: Pair, kind: Postgres) -> None:
    """The orchestrator died while pg_rewind was at work: the half-written directory is judged no more, it is copied anew."""
    split(pair, kind, range(100, 105))
    for verb in (Verb.FENCE, Verb.PRESERVE):
        pair.perform(step(kind, verb, *EAST_FOLLOWS), *EAST_FOLLOWS)
    mark = pair.folder("east") / "data.dr-overwriting"
    pair.exec("east", "touch", str(mark))
    pair.exec("east", "rm", str(pair.data("east") / "global" / "pg_control"))
    pair.perform(step(kind, Verb.FOLLOW, *EAST_FOLLOWS), *EAST_FOLLOWS)
    assert next(item for item in pair.evidence if isinstance(item, Following)).how == "copied anew"
    assert pair.ids("east") == [1, 500]
    assert not mark.exists()


def test_an_old_mark_does_not_let_a_divergence_be_destroyed(pair: Pair, kind: Postgres) -> None:
    """A mark left by a run that died right after it had started the server: the server is whole, so it is judged and kept as any other."""
    pair.exec("east", "touch", "-d", "1 hour ago", str(pair.folder("east") / "data.dr-overwriting"))
    split(pair, kind, range(100, 105))
    pair.perform_all(kind, *EAST_FOLLOWS)
    assert next(item for item in pair.evidence if isinstance(item, Preserved)).items == 5


def test_the_newest_copy_is_never_overwritten(pair: Pair, kind: Postgres) -> None:
    """The runbook's words point the wrong way: every step refuses by the guard's name, the newest copy runs on untouched."""
    split(pair, kind, range(100, 105))
    wrong = (Intent.REPROTECT, "west", "east")
    fence = step(kind, Verb.FENCE, *wrong)
    with pytest.raises(Permanent, match="newest-copy"):
        fence.operation.observe(pair.context(fence, *wrong))
    pair.stop("west")
    for verb in (Verb.PRESERVE, Verb.FOLLOW):
        refused = step(kind, verb, *wrong)
        seen = refused.operation.observe(pair.context(refused, *wrong))
        assert seen.look is Look.BLOCKED
        assert seen.reason.startswith("newest-copy")
    with pytest.raises(Permanent, match="newest-copy"):
        refused.operation.act(pair.context(refused, *wrong))
    pair.start("west")
    assert pair.ids("west") == [1, 500]


def test_nothing_follows_a_server_that_is_no_primary(pair: Pair, kind: Postgres) -> None:
    """The target is a secondary itself: refused by the guard's name."""
    with pytest.raises(Permanent, match="newest-copy"):
        step(kind, Verb.FENCE, *EAST_FOLLOWS).operation.observe(pair.context(step(kind, Verb.FENCE, *EAST_FOLLOWS), *EAST_FOLLOWS))


def test_the_fence_is_tried_until_the_region_answers(pair: Pair, kind: Postgres) -> None:
    """The old primary writes and its host is silent: worth retrying; when it answers, it is stopped."""
    split(pair, kind, range(100, 101))
    fence = step(kind, Verb.FENCE, *EAST_FOLLOWS)
    pair.folder("east").joinpath("reachable").unlink()
    with pytest.raises(Transient):
        fence.operation.observe(pair.context(fence, *EAST_FOLLOWS))
    pair.back("east")
    pair.perform(fence, *EAST_FOLLOWS)
    assert next(item for item in pair.evidence if isinstance(item, Fenced) and item.state is FenceState.FENCED).region == "east"
    assert not pair.listening("east")


def test_no_password_is_on_a_command_line(pair: Pair, kind: Postgres) -> None:
    """The host's commands are recorded: none of them carries the password, nor do the steps' commands for people."""
    script = pair.folder("east") / "exec"
    log = pair.base / "commands"
    script.write_text(script.read_text().replace("#!/bin/sh\n", f'#!/bin/sh\necho "$@" >> {log}\n'))
    split(pair, kind, range(100, 101))
    pair.perform_all(kind, *EAST_FOLLOWS)
    from tests.postgres.rig import PASSWORD

    commands = log.read_text()
    assert "pg_rewind" in commands
    assert ADDRESS["west"] in commands
    assert PASSWORD not in commands
    assert all(PASSWORD not in item.spec.model_dump_json() for intent in Intent for item in kind.steps(intent, "east", "west"))
