"""One region's key/value engine (version 2): what there is, reading, and writing on condition. Paths are relative to the mount.

API: https://openbao.org/api-docs/secret/kv/kv-v2/ . OpenBao lists everything with all metadata in one request
(``detailed-metadata?scan=true``); Vault does not have it: there folders are listed one by one and each secret is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from dr.errors import Permanent, Transient
from dr.model.base import Json
from dr.providers.selfhosted.vault.secret import Secret, Settings, Value, Version
from dr.providers.selfhosted.vault.wire import Answer, Conflict, Denied, Server, errors

T = TypeVar("T")
R = TypeVar("R")
Each = Callable[[Callable[[str], Secret | None], Iterable[str]], Iterable[Secret | None]]
"""Does the same to many paths, a few at a time."""

_DEEPEST = 20


class _Version(BaseModel):
    created_time: datetime
    deletion_time: str = ""
    destroyed: bool = False


class _Metadata(BaseModel):
    current_version: int = 0
    updated_time: datetime
    versions: dict[int, _Version] = {}
    custom_metadata: dict[str, str] | None = None
    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: str = "0s"


class Store:
    """The engine at one mount of one server. Safe to use from several threads.

    Args:
        now: versions whose deletion is due later can still be read.
    """

    def __init__(self, server: Server, mount: str, now: Callable[[], datetime]) -> None:
        self.server, self.mount, self._now = server, mount, now
        self._scans = True

    def secrets(self, wanted: Callable[[str], bool], each: Each, timeout: float | None = None) -> dict[str, Secret]:
        """Every wanted secret without its content, by path. Raises as ``Server.ask``; Permanent where the mount is another engine."""
        answer = self._scanned(timeout) if self._scans else None
        if answer is not None and answer.status == 200:
            found = self._body(answer).get("key_info") or {}
            return {path: self._secret(path, item) for path, item in found.items() if wanted(path)}
        if answer is not None and answer.status == 404 and not errors(answer):
            return {}  # an empty mount
        self._scans = False
        paths = [path for path in self._listed("", timeout, 0) if wanted(path)]
        return {secret.path: secret for secret in each(lambda path: self.look(path, timeout), paths) if secret is not None}

    def look(self, path: str, timeout: float | None = None) -> Secret | None:
        """One secret without its content; None where there is none. Raises as ``Server.ask``."""
        answer = self._get(f"metadata/{quote(path)}", timeout)
        return self._secret(path, self._body(answer)) if answer.status == 200 else None

    def read(self, path: str, version: int = 0, timeout: float | None = None) -> Value | None:
        """The content of a version (0: the current one); None where there is none that can be read. Raises as ``Server.ask``."""
        answer = self._get(f"data/{quote(path)}" + (f"?version={version}" if version else ""), timeout)
        data = self._body(answer).get("data") if answer.status == 200 else None
        return Value(data) if isinstance(data, dict) else None

    def write(self, path: str, value: Value, last: int) -> int:
        """A new version, on condition that ``last`` is the current one (0: there is none); the new number.

        Raises:
            Conflict: it is not; nothing was written. Others as ``Server.ask``.
        """
        answer = self.server.ask("POST", f"{self.mount}/data/{quote(path)}", {"data": value.data, "options": {"cas": last}})
        said = errors(answer)
        if answer.status == 400 and "check-and-set" in said:
            raise Conflict(f"{self.server.where}: {path} has another version than {last} by now")
        if answer.status != 200:
            raise Permanent(f"{self.server.where} does not take {path}: {said or answer.status}"[:300], hint="see that server's log")
        return int(self._body(answer)["version"])

    def describe(self, path: str, marks: Mapping[str, str], settings: Settings) -> None:
        """Replaces custom metadata and settings of a secret. Raises as ``Server.ask``; Permanent where the server does not take them."""
        body = {
            "custom_metadata": dict(marks), "max_versions": settings.max_versions, "cas_required": settings.cas_required,
            "delete_version_after": settings.delete_version_after,
        }  # fmt: skip
        answer = self.server.ask("POST", f"{self.mount}/metadata/{quote(path)}", body)
        if answer.status not in (200, 204):
            raise Permanent(f"{self.server.where} does not take the metadata of {path}: {errors(answer) or answer.status}"[:300])

    def _scanned(self, timeout: float | None) -> Answer | None:
        """None where the token may not: a policy that was written for Vault has no such path."""
        try:
            return self._get("detailed-metadata/?scan=true", timeout)
        except Denied:
            return None

    def _get(self, path: str, timeout: float | None) -> Answer:
        return self.server.ask("GET", f"{self.mount}/{path}", timeout=timeout)

    def _listed(self, folder: str, timeout: float | None, depth: int) -> list[str]:
        answer = self._get(f"metadata/{quote(folder)}?list=true", timeout)
        if answer.status != 200 and errors(answer):
            raise Permanent(
                f"{self.server.where}: {self.mount}/ cannot be listed: {errors(answer)}"[:300],
                hint="mount: must name a key/value engine of version 2",
            )
        found = []
        for key in self._body(answer).get("keys") or [] if answer.status == 200 else []:
            path = f"{folder}{key}"
            found += self._listed(path, timeout, depth + 1) if path.endswith("/") and depth < _DEEPEST else [path]
        return found

    def _body(self, answer: Answer) -> dict[str, Json]:
        data = answer.body.get("data") if isinstance(answer.body, dict) else None
        return data if isinstance(data, dict) else {}

    def _secret(self, path: str, data: Json) -> Secret:
        try:
            told = _Metadata.model_validate(data)
        except ValidationError as error:
            problem = f"{self.server.where}: metadata of {path} are not those of a key/value engine: {error.error_count()} fields differ"
        else:
            return Secret(
                path, told.current_version, told.updated_time,
                {number: Version(number, item.created_time, self._gone(item)) for number, item in told.versions.items()},
                told.custom_metadata or {}, Settings(told.max_versions, told.cas_required, told.delete_version_after),
            )  # fmt: skip
        raise Transient(problem)

    def _gone(self, version: _Version) -> str:
        if version.destroyed:
            return "destroyed"
        return "deleted" if version.deletion_time and datetime.fromisoformat(version.deletion_time) <= self._now() else ""
