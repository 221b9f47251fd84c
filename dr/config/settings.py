"""What a command needs to know of this machine: where the state is kept, and who is typing. From options and the environment."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

from dr.config.worlds import OURS, is_known, known
from dr.errors import StateUnreadable, UsageError
from dr.store.presence import is_there

SHARED = ("dynamodb", "postgresql", "postgres")
"""Schemes of addresses of shared state."""
_ANOTHER = "--state DIRECTORY, or set DR_STATE"


def state_directory(option: str | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """Where journal, samples and artefacts are kept: ``--state``, else ``DR_STATE``, else the user's state directory. Not created here.

    Raises:
        StateUnreadable: something else than a directory is there, or it cannot be told; "no runs" would be a dangerous answer.
    """
    directory = None
    try:
        directory = _chosen(option, environment)
        str(directory).encode()
        usable = not is_there(directory) or directory.is_dir()
    except UnicodeError:
        raise StateUnreadable("the name of the state directory is not UTF-8", hint=_ANOTHER) from None
    except OSError as error:
        raise StateUnreadable(f"{directory}: {error.strerror}", hint=_ANOTHER) from error
    except RuntimeError as error:  # there is no such account, or this one has no home
        given = option or environment.get("DR_STATE") or "~"
        raise StateUnreadable(f"no state directory: {given}: {error}", hint=_ANOTHER) from error
    if not usable:
        raise StateUnreadable(f"{directory} is not a directory", hint=_ANOTHER)
    return directory


def shared_state(option: str | None = None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The address of a table that several machines share, where ``--state``, else ``DR_STATE``, is one; else None.

    Raises:
        UsageError: an address of something else.
    """
    chosen = option or environment.get("DR_STATE") or ""
    scheme, mark, _ = chosen.partition("://")
    if not mark:
        return None
    if scheme not in SHARED:
        hint = "a directory, dynamodb://TABLE?region=REGION or postgresql://USER@HOST/DATABASE"
        raise UsageError(f"--state {scheme}://…: no such state", hint=hint)
    return chosen


def _chosen(option: str | None, environment: Mapping[str, str]) -> Path:
    chosen = option or environment.get("DR_STATE")
    if chosen and "://" in chosen:  # what is not shared lies in a directory all the same
        chosen = environment.get("DR_STATE") if option and "://" not in environment.get("DR_STATE", "://") else None
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = environment.get("XDG_STATE_HOME")
    # a relative XDG_STATE_HOME is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "dr"


def actor(option: str | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """Who is acting: ``--actor``, else ``DR_ACTOR``, else the name of the account. Claimed, not proven.

    Raises:
        UsageError: no name can be found, or it is not text.
    """
    chosen = (option or environment.get("DR_ACTOR") or "").strip()
    try:
        name = chosen or getpass.getuser()
        name.encode()
    except (KeyError, OSError):
        raise UsageError("nobody knows who is acting: this account has no name", hint="--actor NAME, or set DR_ACTOR") from None
    except UnicodeError:
        raise UsageError("the name of who is acting is not UTF-8", hint="--actor NAME, or set DR_ACTOR") from None
    return name


def world(environment: Mapping[str, str] = os.environ) -> str:
    """Where this process acts: ``DR_WORLD``, which a drill sets for everything that it starts; else ``live``.

    Raises:
        UsageError: no such world.
    """
    chosen = environment.get("DR_WORLD", "live")
    if chosen not in OURS and not is_known(chosen):
        raise UsageError(f"DR_WORLD: there is no world {chosen}", hint=f"one of: live, {', '.join(known())}")
    return chosen
