"""``python -m dr.lab.platform.agent --config FILE``: a remote-execution agent, on the customer's side, outside both regions.

It polls its Deployment by its public name only, runs what it is given and reports the result until somebody takes it. It survives a
failover with nothing changed, because it knows nothing that changes. One ledger line for each successful poll.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from dr.lab.account import drop_to
from dr.lab.platform.config import AgentConfig, read_config
from dr.lab.platform.names import Resolver
from dr.lab.platform.outside import NoAnswer, Outside, Reply
from dr.lab.platform.process import launch
from dr.lab.platform.record import LedgerFile, moment
from dr.lab.platform.tls import client_context


class Agent:
    """One agent of one Deployment; one work item at a time.

    Results that were not taken are reported again in their order, before the next poll. A result that the Deployment
    does not want any more (409: the task was given another fate) is dropped.
    """

    def __init__(self, config: AgentConfig, ledger: LedgerFile) -> None:
        self._config, self._ledger = config, ledger
        self._resolver = Resolver(config.dns, config.answer_seconds)
        self._outside = Outside(config.hostname, config.port, self._resolver, client_context(config.authority), config.answer_seconds)
        self._poll = f"/remote/poll?agent={quote(config.name)}"
        self._results: deque[bytes] = deque()

    async def work(self, told: asyncio.Event) -> None:
        """Polls until it is told to end."""
        await self._resolver.open()
        try:
            while not told.is_set():
                await self._round()
                try:
                    async with asyncio.timeout(self._config.poll_seconds):
                        await told.wait()
                except TimeoutError:
                    continue
        finally:
            self._outside.close()
            self._resolver.close()
            self._ledger.close()

    async def _round(self) -> None:
        try:
            await self._report()
            reply = await self._outside.request("GET", self._poll)
        except NoAnswer:
            return  # nobody is there: asked again in a moment, for as long as it takes
        if reply.status not in (200, 204):
            return
        item = json.loads(reply.body) if reply.status == 200 else None
        self._ledger.add(
            at=moment(time.time()), hostname=self._config.hostname, item=item and item["id"], region=item and item.get("region")
        )
        if item is not None:
            await asyncio.sleep(self._config.work_seconds)
            self._results.append(json.dumps({"id": item["id"], "state": "success"}).encode())

    async def _report(self) -> None:
        while self._results:
            reply: Reply = await self._outside.request("POST", "/remote/result", self._results[0])
            if reply.status == 503:
                return
            self._results.popleft()


def prepare(path: Path) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Reads its configuration, opens the ledger, becomes the account."""
    config = read_config(path, AgentConfig)
    agent = Agent(config, LedgerFile(config.ledger))
    drop_to(config.account)
    return agent.work


if __name__ == "__main__":
    raise SystemExit(launch(prepare, sys.argv[1:]))
