"""How every process of the platform starts and ends: configuration, imports, unprivileged account, work until SIGTERM.

Started by root, the interpreter may lie below a home directory that the account cannot enter: nothing can be imported any more once
privileges are dropped. What the standard library loads only when first needed is therefore imported here.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
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

from dr.errors import DrError, ExitCode

_TLS_BUFFER = 32 * 1024

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


def launch(prepare: Callable[[Path], Callable[[asyncio.Event], Awaitable[None]]], argv: list[str]) -> int:
    """Runs a process: ``prepare`` reads its configuration and drops privileges, what it returns works until SIGTERM or SIGINT.

    Returns the exit status. What is missing (a file, an address that somebody has) is one line on stderr, which the lab shows.
    """
    try:
        asyncio.run(_until_told(prepare(config_path(argv))))
    except DrError as error:
        sys.stderr.write(f"{error.message}\n")
        return int(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return int(ExitCode.FAILED)
    return 0


async def _until_told(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    # asyncio clears a buffer of 256 KiB for each TLS connection: a third of a handshake's time, and 60 MB for 240 names
    asyncio.sslproto.SSLProtocol.max_size = _TLS_BUFFER
    gc.freeze()  # what the imports made stays for good: no collection needs to walk it again
    await work(told)
