"""The truth: the outside client's ledger, and what the platform now answers to the client's own question. Nothing else.

``reckon`` says how the one follows from the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from dr.lab.platform.config import ClientConfig, Served
from dr.lab.platform.names import Resolver
from dr.lab.platform.outside import NoAnswer, Outside
from dr.lab.platform.reckon import reckon
from dr.lab.platform.record import attempts, polls
from dr.lab.platform.tls import client_context
from dr.model.truth import Truth

_TAIL = 1024 * 1024
_LATE = timedelta(seconds=5)  # lines stand in the order of the answers: one that timed out stands after later ones
_ASK_SECONDS = 10.0
_AT_ONCE = 8


def truth(config: ClientConfig, agent_ledger: Path, preserved: Mapping[str, frozenset[str]] | None = None) -> Truth:
    """The truth of the client that runs, or ran, with this configuration. Asks the platform through its public names; blocks for that.

    ``preserved``: as for ``reckon``.

    Call it when the client has ended, or at least is not needed any more: the digest is that of the ledger as it is now.

    Raises:
        StateUnreadable: a ledger holds lines that nobody of ours wrote.
    """
    content = config.ledger.read_bytes() if config.ledger.exists() else b""
    seen = polls(agent_ledger.read_bytes()) if agent_ledger.exists() else ()
    present = asyncio.run(_ask_all(config))
    return reckon(
        list(attempts(content)), list(seen), config.deployments, present, preserved=preserved,
        ledger_path=str(config.ledger), ledger_sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


def settled(config: ClientConfig, agent_ledger: Path | None, since: datetime) -> bool:
    """Whether the newest write of every name was sent after ``since`` and acknowledged, and the agent has polled since then.

    Looks at the end of the files only, so it may be asked often. Without ``agent_ledger`` only names count.
    """
    waiting = {name for served in config.deployments for name in served.hostnames}
    failed: set[str] = set()
    for attempt in attempts(_tail(config.ledger), newest_first=True):
        if attempt.sent_at < since - _LATE or not waiting:
            break
        if attempt.sent_at < since:
            continue
        if attempt.acknowledged_at is None:
            failed.add(attempt.hostname)
        elif attempt.hostname not in failed:
            waiting.discard(attempt.hostname)
    if waiting or agent_ledger is None:
        return not waiting
    return any(poll.at > since for poll in polls(_tail(agent_ledger), newest_first=True))


def _tail(path: Path) -> bytes:
    """The last whole lines of a file; nothing where there is none."""
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(max(0, size - _TAIL))
            content = handle.read()
    except FileNotFoundError:
        return b""
    return content if size <= _TAIL else content.partition(b"\n")[2]


async def _ask_all(config: ClientConfig) -> dict[str, frozenset[str] | None]:
    resolver = Resolver(config.dns, config.answer_seconds)
    context = client_context(config.authority)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(served: Served) -> frozenset[str] | None:
        async with turns:
            for hostname in served.hostnames:
                outside = Outside(hostname, config.port, resolver, context, config.answer_seconds)
                try:
                    reply = await outside.request("GET", "/writes?kind=outside", answer_seconds=_ASK_SECONDS)
                except NoAnswer:
                    continue
                finally:
                    outside.close()
                if reply.status == 200:
                    return frozenset(json.loads(reply.body))
        return None

    await resolver.open()
    try:
        answers = await asyncio.gather(*(ask(served) for served in config.deployments))
    finally:
        resolver.close()
        await asyncio.sleep(0)  # the transports close in the loop's next turn
    return {served.id: answer for served, answer in zip(config.deployments, answers, strict=True)}
