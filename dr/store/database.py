"""Opening a SQLite file of the state directory, and what SQLite's errors mean. Pragmas, modes and versions stand here only.

A file is made complete under another name and linked into place, so nobody ever sees half of one, and two processes that
start together do not race (``PRAGMA journal_mode=WAL`` does not wait for locks: https://www.sqlite.org/wal.html#noshm).

Do not read these files with ``open()`` in a process that also uses them: closing any descriptor of a file drops the
POSIX locks that SQLite holds on it (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dr.errors import StateLost, StateUnreadable
from dr.store.presence import is_there

APPLICATION_ID = 0x64722F31
"""Marks a file as ours (``file`` shows it): the bytes ``dr/1``."""

BUSY_SECONDS = 20.0
"""How long a write waits for another process's transaction; ours take milliseconds."""

_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_FOREIGN = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL)
"""What opening a WAL file says where its -shm cannot be made."""


class RowDamaged(sqlite3.DatabaseError):
    """A row holds what was never written there. Becomes StateUnreadable."""


@dataclass(frozen=True)
class Schema:
    """What a file holds: its word for messages, its version, and the statements that create it.

    A change of the statements needs a new version: other versions are refused, never guessed at.
    """

    name: str
    version: int
    statements: tuple[str, ...]


def _code(error: BaseException) -> int:
    """SQLite's primary result code, 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def lost(path: Path, schema: Schema, error: BaseException) -> StateLost:
    """What a failed write means: nothing more can be recorded; what was recorded stays."""
    what = "free space on" if _code(error) == sqlite3.SQLITE_FULL else "look at"
    return StateLost(
        f"the {schema.name} {path} cannot be written: {error}",
        hint=f"{what} the disk: df -h {path.parent}; everything recorded so far is readable",
    )


def failed(path: Path, schema: Schema, error: sqlite3.Error) -> StateLost | StateUnreadable:
    """What a failed transaction that also reads means: unreadable where what is stored is damaged, else lost."""
    return (unreadable if isinstance(error, RowDamaged) or _code(error) in _FOREIGN else lost)(path, schema, error)


def unreadable(path: Path, schema: Schema, error: BaseException | str) -> StateUnreadable:
    """What a failed read means: not ours, damaged, or not allowed."""
    code = 0 if isinstance(error, str) else _code(error)
    if code in _FOREIGN or isinstance(error, RowDamaged):
        hint = f"keep a copy of {path} (and of {path.name}-wal), restore it from a backup or move it away; it is not repaired by guessing"
    elif code == sqlite3.SQLITE_BUSY:
        hint = f"another process keeps {path} locked: fuser {path}"
    else:
        hint = f"check owner, mode and disk: ls -l {path.parent}; another state directory: DR_STATE=DIR"
    return StateUnreadable(f"the {schema.name} {path} cannot be read: {error}", hint=hint)


def writer(path: Path, schema: Schema) -> sqlite3.Connection:
    """A connection for one writer; creates file and directory where they are not there. Several threads may use it under the caller's lock.

    Raises:
        StateUnreadable: not a database, damaged, of another version, or not allowed. Nothing was touched.
        StateLost: there is no room to create it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_there(path):
            _create(path, schema)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)  # it came from a copy or an archive
        connection = _connect(path, "rw")
    except (OSError, sqlite3.Error) as error:
        raise (lost if _code(error) in _FULL else unreadable)(path, schema, error) from error
    try:
        _check(connection, path, schema)
        # WAL is a property of the file; FULL makes every commit durable before it returns, also after loss of power
        connection.execute("PRAGMA synchronous=FULL")
    except (sqlite3.Error, UnicodeError, StateUnreadable) as error:
        connection.close()
        if isinstance(error, StateUnreadable):
            raise
        raise unreadable(path, schema, error) from error
    return connection


@contextlib.contextmanager
def reading(path: Path, schema: Schema) -> Iterator[sqlite3.Connection | None]:
    """One consistent look at a file (a read transaction of a connection of its own); None where the file is not there yet.

    Opening costs about 0.2 ms, so polling at 10 Hz is cheap, and nothing is held between two looks. On a disk that is full, too.

    Raises:
        StateUnreadable: not a database, damaged, of another version, or not allowed.
    """
    connection, still = None, None
    try:
        if is_there(path):
            connection, still = _look(path, schema)
    except (OSError, sqlite3.Error, UnicodeError) as error:  # what SQLite says of a damaged name need not be text
        raise unreadable(path, schema, error) from error
    if connection is None:
        yield None
        return
    try:
        yield connection
    except (sqlite3.Error, UnicodeError) as error:
        raise unreadable(path, schema, error) from error
    finally:
        connection.close()
    try:
        changed = still is not None and still != _stillness(path)
    except OSError as error:
        raise unreadable(path, schema, error) from error
    if changed:
        raise unreadable(path, schema, "it was written while it was read; ask again")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One write transaction, taken at the start so that what it reads cannot change before it writes. Rolls back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after I/O errors
            connection.execute("ROLLBACK")
        raise


def _look(path: Path, schema: Schema) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
    """A read transaction; with what must not have changed in its end where nothing holds writers off."""
    try:
        return _begin(path, schema, "ro"), None
    except sqlite3.Error as error:
        # SQLite reads a WAL file only with a -shm beside it, and a full disk has no room for one. Where the log is empty
        # everything stands in the file itself: https://www.sqlite.org/wal.html#read_only_databases
        still = _stillness(path) if _code(error) in _NO_ROOM else None
        if still is None:
            raise
    return _begin(path, schema, "ro&immutable=1"), still


def _begin(path: Path, schema: Schema, mode: str) -> sqlite3.Connection:
    connection = _connect(path, mode)
    try:
        _check(connection, path, schema)
        connection.execute("BEGIN")
    except BaseException:
        connection.close()
        raise
    return connection


def _stillness(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change of a file whose log is empty or not there; None where the log holds something."""
    log = path.with_name(f"{path.name}-wal")
    if is_there(log) and log.stat().st_size:
        return None
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _check(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    owner, version = connection.execute("SELECT application_id, user_version FROM pragma_application_id, pragma_user_version").fetchone()
    if owner != APPLICATION_ID:
        raise unreadable(path, schema, "it is not a file of dr, or it was cut")
    if version != schema.version:
        raise StateUnreadable(
            f"the {schema.name} {path} has version {version}; this dr reads version {schema.version}",
            hint="use the dr that wrote it, or keep it and start anew with another state directory: DR_STATE=DIR",
        )


def _create(path: Path, schema: Schema) -> None:
    """Makes the file complete and durable under another name, then links it; whoever links first wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # -wal and -shm take their mode from it
    try:
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={schema.version}")
            connection.execute("COMMIT")
        finally:
            connection.close()
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
