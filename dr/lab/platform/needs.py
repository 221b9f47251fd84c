"""What a Deployment needs of its own region before it starts, as a pod does: its image, pulled with its own secret, and its Fernet key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dr.lab.platform.connections import NoSecret, Secrets, encrypted, undecryptable
from dr.lab.platform.database import Database, NotPerformed, Row, Why
from dr.lab.platform.registry import NotPulled, Registry

_AT_ONCE = 8
"""Deployments that fetch what they need: 80 start at once, on a machine that serves them meanwhile."""
_SECONDS = 5.0
_NAMED = 3
_DEPLOYMENT = "SELECT image_digest, pull_secrets[1] FROM deployment WHERE id = %(id)s"


class DoesNotStart(Exception):
    """What a Deployment needs is not there, or does not work: its scheduler was not started.

    ``lasting``: it stays so until somebody mends it; else something could not be asked.
    """

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


class Needs:
    """Fetches for each Deployment that starts what it needs, from the region's own servers and nowhere else; nothing is kept.

    Args:
        platform: the platform's database in this region: which image, which pull secret.
        secrets: the region's secret store.
        registry: the region's registry; None: the lab has none, and nothing is pulled.
    """

    def __init__(self, platform: Database, secrets: Secrets, registry: Registry | None) -> None:
        self._platform, self._secrets, self._registry = platform, secrets, registry
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, deployment: str, database: Database) -> None:
        """Pulls the image and decrypts what is encrypted. Reads only.

        Raises:
            DoesNotStart: the first thing that is missing or does not work. NotPerformed: the database is read-only, or not there.
        """
        async with self._turns:
            [(recovering,)] = await database.perform("SELECT pg_is_in_recovery()", seconds=_SECONDS, repeatable=True)
            if recovering:
                raise NotPerformed(Why.READ_ONLY, f"{database.name} is read-only")
            rows = await self._platform.perform(_DEPLOYMENT, {"id": deployment}, seconds=_SECONDS, repeatable=True)
            if not rows:
                raise DoesNotStart("the platform's database does not list it", lasting=True)
            tokens = await encrypted(database)
            await asyncio.to_thread(self._use, deployment, str(rows[0][0]), str(rows[0][1]), tokens)

    def _use(self, deployment: str, image: str, pull_secret: str, tokens: Sequence[Row]) -> None:
        problem: DoesNotStart
        try:
            if self._registry is not None:
                self._registry.pull(image, self._secrets.login(pull_secret))
            wrong = undecryptable(self._secrets.fernet(deployment), tokens)
            if not wrong:
                return
            names = ", ".join(wrong[:_NAMED]) + (f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else "")
            problem = DoesNotStart(f"its Fernet key does not decrypt {names}", lasting=True)
        except (NoSecret, NotPulled) as error:
            problem = DoesNotStart(str(error), lasting=error.lasting)
        raise problem
