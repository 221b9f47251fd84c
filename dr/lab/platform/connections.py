"""Encrypted connections and variables of a Deployment: decrypted with its Fernet key, which its region's own secret store has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

from dr.errors import Permanent, StepError
from dr.lab.platform.config import SecretsConfig
from dr.lab.platform.database import Database, Row
from dr.lab.platform.http import Response, answer
from dr.lab.platform.registry import Login
from dr.providers.selfhosted.vault.wire import Server

_SECONDS = 5.0
_ENCRYPTED = """
SELECT 'connection ' || conn_id, password FROM connection WHERE is_encrypted AND password IS NOT NULL
UNION ALL SELECT 'extra of ' || conn_id, extra FROM connection WHERE is_extra_encrypted AND extra IS NOT NULL
UNION ALL SELECT 'variable ' || key, val FROM variable WHERE is_encrypted AND val IS NOT NULL ORDER BY 1
"""


class NoSecret(Exception):
    """The store does not have what a Deployment needs (``lasting``), or cannot be asked."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.lasting = lasting


@dataclass(frozen=True)
class Secrets:
    """The region's store. Secrets are read at each use and kept nowhere: one that was changed counts at once."""

    server: Server
    mount: str

    @classmethod
    def open(cls, region: str, config: SecretsConfig) -> Secrets:
        """Reads what only the starter may read: token and authority."""
        token = config.token_file.read_text(encoding="utf-8").strip()
        server = Server(f"the secret store of {region}", config.url, lambda: token, config.authority, _SECONDS)
        server.load_authority()
        return cls(server, config.mount)

    def fernet(self, deployment: str) -> Fernet:
        """The Deployment's key. Raises NoSecret."""
        path = f"deployments/{deployment}/fernet"
        [key] = self._read(path, "key")
        problem = None
        try:
            return Fernet(key)
        except ValueError:
            problem = NoSecret(f"{path} is no Fernet key", lasting=True)
        raise problem

    def login(self, pull_secret: str) -> Login:
        """Who pulls with a pull secret. Raises NoSecret."""
        username, password = self._read(pull_secret, "username", "password")
        return Login(username, password)

    def _read(self, path: str, *fields: str) -> list[str]:
        try:
            told = self.server.ask("GET", f"{self.mount}/data/{path}")
        except StepError as error:
            raise NoSecret(error.message, lasting=isinstance(error, Permanent)) from error
        data = told.body.get("data") if told.status == 200 and isinstance(told.body, dict) else None
        found = data.get("data") if isinstance(data, dict) else None
        values = [value for field in fields if isinstance(found, dict) and isinstance(value := found.get(field), str)]
        if len(values) < len(fields):
            raise NoSecret(f"secret {path} is not in {self.server.where}", lasting=True)
        return values


async def encrypted(database: Database) -> list[Row]:
    """The names of everything that is encrypted, each with its token. Raises NotPerformed."""
    return await database.perform(_ENCRYPTED, repeatable=True)


def undecryptable(key: Fernet, rows: Sequence[Row]) -> list[str]:
    """The names of what does not decrypt. What comes out is dropped."""
    return [str(name) for name, token in rows if not _decrypts(key, str(token))]


async def check(secrets: Secrets | None, deployment: str, region: str, database: Database) -> Response:
    """Decrypts everything that is encrypted; names what does not decrypt, never what came out. Raises NotPerformed."""
    if secrets is None:
        return answer(404, error="this region's Deployments have no secret store")
    try:
        key = await asyncio.to_thread(secrets.fernet, deployment)
    except NoSecret as error:
        return answer(503, error="no-key", detail=str(error), region=region)
    rows = await encrypted(database)
    wrong = undecryptable(key, rows)
    if wrong:
        return answer(503, error="undecryptable", names=list(wrong), region=region)
    return answer(200, decrypted=len(rows), region=region)


def _decrypts(fernet: Fernet, token: str) -> bool:
    try:
        fernet.decrypt(token.encode())
    except InvalidToken:
        return False
    return True
