"""The real clock, and credentials: found or named, never shown."""

from __future__ import annotations

import stat
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from dr.errors import CredentialMissing, StateUnreadable
from dr.model.runbook import SecretRef
from dr.providers.system import EnvFileSecrets, SystemClock


def test_now_and_monotonic_never_disagree() -> None:
    """now is UTC and moves exactly as the monotonic clock does."""
    clock = SystemClock()
    before, start = clock.monotonic(), clock.now()
    clock.sleep(0.01)
    clock.sleep(-1)
    after, end = clock.monotonic(), clock.now()
    assert abs(start - datetime.now(UTC)) < timedelta(seconds=5)
    assert after - before >= 0.01
    assert abs((end - start).total_seconds() - (after - before)) < 0.005


def test_a_wall_clock_that_is_set_back_moves_nothing() -> None:
    """now goes on from the moment when the process began: an hour backwards, or a daylight saving time, is no hour of outage."""
    with freeze_time("2026-03-29T00:59:59Z") as wall:
        clock = SystemClock()
        wall.move_to("2026-03-28T23:00:00Z")
        assert clock.now() >= datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)


def test_chance_stays_in_its_bounds() -> None:
    """uniform is inside [low, high] and not always the same."""
    drawn = {SystemClock().uniform(2.0, 3.0) for _ in range(200)}
    assert len(drawn) > 100
    assert all(2.0 <= value <= 3.0 for value in drawn)


def test_credentials_come_from_files_and_the_environment(tmp_path: Path) -> None:
    """A file relative to the runbook, or absolute; a variable; a trailing newline is not part of it."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postgres").write_text("s3 cret\n")
    secrets = EnvFileSecrets(tmp_path / "runbooks" / "..", tmp_path / "state", {"TOKEN": "t0ken"})
    (tmp_path / "runbooks").mkdir()
    assert secrets.get(SecretRef(file="secrets/postgres")) == "s3 cret"
    assert secrets.get(SecretRef(file=str(tmp_path / "secrets" / "postgres"))) == "s3 cret"
    assert secrets.get(SecretRef(env="TOKEN")) == "t0ken"
    (tmp_path / "secrets" / "postgres").write_text("rotated")
    assert secrets.get(SecretRef(file="secrets/postgres")) == "rotated"


@pytest.mark.parametrize("ref", [SecretRef(file="none"), SecretRef(file="empty"), SecretRef(file="binary"), SecretRef(env="NONE")])
def test_a_missing_credential_is_named_with_a_next_step(tmp_path: Path, ref: SecretRef) -> None:
    """The reference is in the message, nothing of a value is in the message, the cause or the traceback."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"hunter2\xff\xfe")
    with pytest.raises(CredentialMissing) as caught:
        EnvFileSecrets(tmp_path, tmp_path, {}).get(ref)
    assert str(ref.file or ref.env) in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_digests_are_keyed(tmp_path: Path) -> None:
    """Equal values have equal digests under one state, others under another; the key is 0600; no bare hash, no value is shown."""
    import hashlib

    one, again, other = (EnvFileSecrets(tmp_path, tmp_path / name) for name in ("one", "one", "two"))
    digest = one.digest("hunter2")
    assert digest == one.digest("hunter2") == again.digest("hunter2")
    assert digest != one.digest("hunter3")
    assert digest != other.digest("hunter2")
    assert digest != hashlib.sha256(b"hunter2").hexdigest()
    key = tmp_path / "one" / "digest.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert [path.name for path in key.parent.iterdir()] == ["digest.key"]
    assert "hunter2" not in repr(one)
    assert key.read_bytes().hex() not in repr(one)


def test_a_cut_key_is_refused(tmp_path: Path) -> None:
    """A shorter key would make digests that compare with nothing."""
    (tmp_path / "digest.key").write_bytes(b"short")
    with pytest.raises(StateUnreadable, match="was cut or changed"):
        EnvFileSecrets(tmp_path, tmp_path).digest("x")


def test_importing_it_costs_next_to_nothing() -> None:
    """Every command imports the clock: nothing heavy may come with it."""
    code = "import sys, dr.providers.system; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"pydantic", "hashlib", "random", "sqlite3", "ssl"} & set(loaded)
