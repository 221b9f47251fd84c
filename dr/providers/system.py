"""The real clock, real chance, and credentials from files and the environment. Cheap to import: every command needs it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dr.errors import CredentialMissing, StateUnreadable

if TYPE_CHECKING:
    from dr.model.runbook import SecretRef  # pydantic is 100 ms

_KEY_FILE = "digest.key"
_KEY_BYTES = 32


def _steady() -> float:
    """Seconds since boot, counted on while the machine sleeps: a laptop that was closed must not believe in an old lease."""
    # mypy reads the platform check: CLOCK_BOOTTIME is Linux only
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SystemClock:
    """``dr.ports.Clock`` of this machine. ``now`` is read once and then counted with the steady clock, so that the two never
    disagree within one process, whatever is done to the wall clock meanwhile."""

    def __init__(self) -> None:
        self._anchor = datetime.now(UTC)
        self._origin = _steady()

    def now(self) -> datetime:
        """The current moment, UTC."""
        return self._anchor + timedelta(seconds=_steady() - self._origin)

    def monotonic(self) -> float:
        """Seconds since boot; never goes back."""
        return _steady()

    def sleep(self, seconds: float) -> None:
        """Blocks the calling thread; nothing for zero or less."""
        if seconds > 0:
            time.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        """A random number in [low, high], from the operating system."""
        return low + (high - low) * int.from_bytes(os.urandom(7), "big") / (256**7 - 1)


class EnvFileSecrets:
    """``dr.ports.Secrets``: credentials from files (relative to the runbook's folder) and environment variables.

    Read again at each use, so that a rotated credential counts at once. Keeps no value, and shows none in ``repr`` or errors.

    Args:
        base: the runbook's folder.
        state: the state directory; the key of ``digest`` lies there, made at the first use (0600).
        environment: instead of this process's own.
        agree: which key counts, given this state's own: where several machines share one.
    """

    def __init__(
        self, base: Path, state: Path, environment: Mapping[str, str] | None = None, agree: Callable[[bytes], bytes] = lambda own: own
    ) -> None:
        self._base, self._key_path, self._agree = base, state / _KEY_FILE, agree
        self._environment = os.environ if environment is None else environment
        self._key: bytes | None = None

    def get(self, ref: SecretRef) -> str:
        """The value, without trailing newline.

        Raises:
            CredentialMissing: the file or variable is not there, is empty, or cannot be read as text.
        """
        if ref.file is not None:
            return self._from_file(self._base / ref.file)
        assert ref.env is not None, "SecretRef has a file or a variable"
        value = self._environment.get(ref.env, "")
        if not value:
            raise CredentialMissing(f"the environment variable {ref.env} is not set", hint=f"export {ref.env}=… and give the command again")
        return value

    def digest(self, value: str) -> str:
        """HMAC-SHA256 of a value under this state's own key, in hex.

        Raises:
            StateUnreadable, StateLost: the key cannot be made or read, here or where all machines share it.
        """
        import hashlib
        import hmac

        if self._key is None:
            self._key = self._agree(self._load_key())
        return hmac.new(self._key, value.encode(), hashlib.sha256).hexdigest()

    def _from_file(self, path: Path) -> str:
        try:
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:  # its text would carry bytes of the secret: not even as a cause
            raise CredentialMissing(f"the credential file {path} is not text (UTF-8)", hint="write the credential itself into it") from None
        except OSError as error:
            hint = f"create it, readable for this account only: chmod 600 {path}"
            raise CredentialMissing(f"the credential file {path} cannot be read: {error.strerror}", hint=hint) from error
        if not value:
            raise CredentialMissing(f"the credential file {path} is empty", hint="write the credential into it")
        return value

    def _load_key(self) -> bytes:
        """The key, made where there is none; of two processes that make one together, both use the first."""
        try:
            if not self._key_path.exists():
                self._make_key()
            key = self._key_path.read_bytes()
        except OSError as error:
            hint = f"ls -l {self._key_path.parent}; another state directory: DR_STATE=DIR"
            raise StateUnreadable(f"the digest key {self._key_path} cannot be read: {error.strerror}", hint=hint) from error
        if len(key) != _KEY_BYTES:
            hint = f"restore it; or remove {self._key_path}: digests that were made with it can then not be compared any more"
            raise StateUnreadable(f"the digest key {self._key_path} was cut or changed", hint=hint)
        return key

    def _make_key(self) -> None:
        self._key_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._key_path.with_name(f".{_KEY_FILE}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                self._key_path.hardlink_to(draft)
        finally:
            draft.unlink()
