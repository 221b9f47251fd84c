"""How every process of the platform starts and ends: configuration, imports, unprivileged account, work until SIGTERM.

Started by root, the interpreter may lie below a home directory that the account cannot enter: nothing can be imported any more once
privileges are dropped. What the standard library loads only when first needed is therefore imported here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import encodings.ascii
import encodings.idna
import gc
import linecache
import signal
import stringprep
import sys
import traceback
import unicodedata
from collections.abc import Awaitable, Callable
from pathlib import Path

from dr.errors import DrError

LOADED_EARLY = (concurrent.futures.thread, encodings.ascii, encodings.idna, linecache, stringprep, traceback, unicodedata)
"""Loaded lazily by asyncio, ssl and the traceback printer."""


def config_path(argv: list[str]) -> Path:
    """The file named by ``--config FILE``.

    Raises:
        SystemExit: 2, anything else was typed.
    """
    if len(argv) != 2 or argv[0] != "--config":
        sys.stderr.write("expected: --config FILE\n")
        raise SystemExit(2)
    return Path(argv[1])


def run(work: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Runs until the work returns; SIGTERM and SIGINT set the event that it is given. Returns the exit status."""
    try:
        asyncio.run(_until_told(work))
    except DrError as error:
        sys.stderr.write(f"{error.message}\n")
        return int(error.exit_code)
    return 0


async def _until_told(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    gc.freeze()  # what the imports made stays for good: no collection needs to walk it again
    await work(told)
