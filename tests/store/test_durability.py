"""What was acknowledged is there after a SIGKILL, an I/O error, and two processes that start together."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dr.store.journal import SqliteJournal, verify

PROJECT = Path(__file__).parents[2]

APPEND = """
import sys
from pathlib import Path
from tests.store.build import at, note, started
from dr.store.journal import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
print(journal.append("run", [(at(0), started())])[-1].seq, flush=True)
number = 0
while True:
    number += 1
    batch = [(at(number), note(f"{number}.{n}")) for n in range(number % 7 + 1)]
    print(journal.append("run", batch)[-1].seq, flush=True)
"""

FILL = """
import resource, sys
from pathlib import Path
from tests.store.build import at, note, started
from dr.errors import StateLost
from dr.store.journal import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
print(journal.append("run", [(at(0), started())])[-1].seq, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for number in range(1, 10_000):
        print(journal.append("run", [(at(number), note("x" * 900))])[-1].seq, flush=True)
except StateLost as error:
    print(error.message, error.hint)
    sys.exit(7)
"""

BOTH = """
import sys
from pathlib import Path
from tests.store.build import at, note, started
from dr.store.journal import SqliteJournal
sys.stdin.readline()
journal = SqliteJournal(Path(sys.argv[1]))
journal.append(sys.argv[2], [(at(0), started())])
for number in range(50):
    journal.append(sys.argv[2], [(at(number), note("x"))])
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_everything_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """A process is killed while it appends batches in a loop: each record that it reported is there, the chain verifies, and it goes on."""
    acknowledged = 0
    for _ in range(3):
        script = APPEND if not acknowledged else APPEND.replace("[(at(0), started())]", '[(at(0), note("resumed"))]')
        with python(script, str(tmp_path)) as process:
            assert process.stdout is not None
            for _ in range(60):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            for line in process.stdout.read().splitlines():
                acknowledged = int(line)
        records = SqliteJournal(tmp_path).records("run")
        assert len(records) >= acknowledged > 0
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert verify(tmp_path / "journal.db").ok


def test_an_io_error_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """The system refuses to let the file grow: StateLost with a next step, and everything reported before is readable."""
    with python(FILL, str(tmp_path)) as process:
        out, _ = process.communicate(timeout=60)
    *numbers, last = out.splitlines()
    assert process.returncode == 7
    assert "cannot be written" in last
    assert "df -h" in last
    assert len(SqliteJournal(tmp_path).records("run")) == int(numbers[-1]) > 10


def test_two_processes_that_start_together_share_a_new_file(tmp_path: Path) -> None:
    """Neither fails, and both runs are whole: nobody ever sees half a file."""
    processes = [python(BOTH, str(tmp_path), name) for name in ("one", "two")]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        with process:
            process.communicate(timeout=60)
        assert process.returncode == 0
    summary = verify(tmp_path / "journal.db")
    assert summary.ok
    assert sorted((run.run_id, run.records) for run in summary.runs) == [("one", 51), ("two", 51)]
    assert {path.name for path in tmp_path.iterdir()} <= {"journal.db", "journal.db-wal", "journal.db-shm"}
