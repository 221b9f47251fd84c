"""``ports.Host`` over an argv prefix: what came back, what is not known, and that no shell is between."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import EffectUnknown
from dr.model.runbook import HostAccess
from dr.providers.generic.host import CUT, CommandHost, minimal, resolved
from tests.postgres.rig import RealClock, poll


def host(tmp_path: Path, *prefix: str, seconds: float = 20, limit: int = 10_000) -> CommandHost:
    access = HostAccess(exec=prefix or ("env",), timeout=timedelta(seconds=seconds))
    return CommandHost(access, tmp_path, RealClock(), output_limit=limit)


def script(tmp_path: Path, name: str, body: str) -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_status_and_both_outputs_come_back(tmp_path: Path) -> None:
    """A non-zero status is an answer, not an error."""
    done = host(tmp_path).run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.status, done.out, done.err) == (3, "out\n", "err\n")


def test_a_relative_program_starts_at_the_runbook(tmp_path: Path) -> None:
    """``../region/exec`` is looked up from the runbook's folder; a bare name is left to PATH, an absolute path is kept."""
    script(tmp_path, "east/exec", 'exec "$@"')
    base = tmp_path / "runbooks"
    base.mkdir()
    assert host(base, "../east/exec").run(["echo", "hello"]).out == "hello\n"
    assert resolved(("ssh", "db@east"), base) == ("ssh", "db@east")
    assert resolved(("/usr/bin/ssh",), base) == ("/usr/bin/ssh",)


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    """Blanks, quotes, variables and newlines arrive as they are."""
    words = ["a b", "$HOME", "'x'", "; rm -rf /", "line\nline"]
    done = host(tmp_path).run(["printf", "%s|", *words])
    assert done.out == "".join(f"{word}|" for word in words)


def test_ssh_hands_its_arguments_to_a_shell_so_they_are_quoted(tmp_path: Path) -> None:
    """What the remote shell makes of them is what was given."""
    script(tmp_path, "ssh", 'shift; exec sh -c "$*"')
    done = host(tmp_path, "./ssh", "db@east").run(["printf", "%s|", "a b", "$HOME", "'x'"])
    assert done.out == "a b|$HOME|'x'|"


def test_unreachable_is_255_and_so_is_a_prefix_that_cannot_be_started(tmp_path: Path) -> None:
    """Nothing is known of an effect in both cases; the reason is kept."""
    script(tmp_path, "exec", "echo 'No route to host' >&2; exit 255")
    done = host(tmp_path, "./exec").run(["true"])
    assert (done.status, done.err) == (255, "No route to host\n")
    missing = host(tmp_path, "./not-there").run(["true"])
    assert missing.status == 255
    assert "not-there" in missing.err


def test_no_answer_in_time_is_unknown_and_leaves_nothing_running(tmp_path: Path) -> None:
    """The command may have taken effect; on this side its whole process group is gone."""
    with pytest.raises(EffectUnknown, match=r"no answer within 0\.2s"):
        host(tmp_path).run(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600 & sleep 600"], timeout=timedelta(seconds=0.2))
    pid = int((tmp_path / "pid").read_text())
    poll(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text(), "the command to be gone")


def test_a_server_that_keeps_the_pipes_does_not_keep_us(tmp_path: Path) -> None:
    """A command that started a server in the background is over when it is over."""
    done = host(tmp_path).run(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; echo started"])
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert (done.status, done.out) == (0, "started\n")


def test_output_is_bounded_and_says_so(tmp_path: Path) -> None:
    """More than the limit is read and dropped, and the cut can be seen."""
    done = host(tmp_path, limit=1000).run(["head", "-c", "200000", "/dev/zero"])
    assert done.out.startswith("\0" * 1000)
    assert done.out.endswith(CUT)
    assert len(done.out) < 1100


def test_input_of_any_length_arrives(tmp_path: Path) -> None:
    """Longer than a pipe, and for a command that does not read it."""
    assert host(tmp_path).run(["wc", "-c"], stdin="x" * 300_000).out.strip() == "300000"
    assert host(tmp_path).run(["true"], stdin="x" * 300_000).status == 0


def test_the_environment_is_minimal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ssh needs is passed on, what may be a secret is not."""
    monkeypatch.setenv("SOME_PASSWORD", "hunter2")
    assert "SOME_PASSWORD" not in host(tmp_path).run(["env"]).out
    assert minimal({"PATH": "/bin", "SSH_AUTH_SOCK": "s", "AWS_SECRET_ACCESS_KEY": "k"}) == {
        "PATH": "/bin", "SSH_AUTH_SOCK": "s", "LC_ALL": "C",
    }  # fmt: skip


def test_death_by_a_signal_is_not_known_either(tmp_path: Path) -> None:
    """A killed ssh tells nothing about the other side."""
    assert host(tmp_path).run(["sh", "-c", "kill -9 $$"]).status == 255
