"""Encrypted connections and variables of a Deployment: decrypted with its Fernet key, which its region's own secret store has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

from dr.errors import StepError
from dr.lab.platform.config import SecretsConfig
from dr.lab.platform.database import Database
from dr.lab.platform.http import Response, answer
from dr.providers.selfhosted.vault.wire import Server

_SECONDS = 2.0
_ENCRYPTED = """
SELECT 'connection ' || conn_id, password FROM connection WHERE is_encrypted AND password IS NOT NULL
UNION ALL SELECT 'extra of ' || conn_id, extra FROM connection WHERE is_extra_encrypted AND extra IS NOT NULL
UNION ALL SELECT 'variable ' || key, val FROM variable WHERE is_encrypted AND val IS NOT NULL ORDER BY 1
"""


class NoKey(Exception):
    """The store has no key for the Deployment, or cannot be asked."""


@dataclass(frozen=True)
class Keys:
    """The region's store. Keys are read at each use and kept nowhere: one that was changed counts at once."""

    server: Server
    mount: str

    @classmethod
    def open(cls, config: SecretsConfig) -> Keys:
        """Reads what only the starter may read: token and authority."""
        token = config.token_file.read_text(encoding="utf-8").strip()
        server = Server(f"secrets at {config.url}", config.url, lambda: token, config.authority, _SECONDS)
        server.load_authority()
        return cls(server, config.mount)

    def of(self, deployment: str) -> Fernet:
        """The Deployment's key. Raises NoKey."""
        try:
            told = self.server.ask("GET", f"{self.mount}/data/deployments/{deployment}/fernet")
        except StepError as error:
            raise NoKey(error.message) from error
        data = told.body.get("data") if told.status == 200 else None
        key = data["data"].get("key") if isinstance(data, dict) and isinstance(data.get("data"), dict) else None
        if not isinstance(key, str):
            raise NoKey(f"no Fernet key of {deployment}")
        problem = None
        try:
            return Fernet(key)
        except ValueError:
            problem = NoKey(f"what is kept for {deployment} is no Fernet key")
        raise problem


async def check(keys: Keys | None, deployment: str, region: str, database: Database) -> Response:
    """Decrypts everything that is encrypted; names what does not decrypt, never what came out. Raises NotPerformed."""
    if keys is None:
        return answer(404, error="this region's Deployments have no secret store")
    try:
        fernet = await asyncio.to_thread(keys.of, deployment)
    except NoKey as error:
        return answer(503, error="no-key", detail=str(error), region=region)
    rows = await database.perform(_ENCRYPTED, repeatable=True)
    wrong = [str(name) for name, token in rows if not _decrypts(fernet, str(token))]
    if wrong:
        return answer(503, error="undecryptable", names=list(wrong), region=region)
    return answer(200, decrypted=len(rows), region=region)


def _decrypts(fernet: Fernet, token: str) -> bool:
    try:
        fernet.decrypt(token.encode())
    except InvalidToken:
        return False
    return True
