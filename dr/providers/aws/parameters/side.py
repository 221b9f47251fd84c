"""Reads one region's parameters, ten a call, as keyed digests."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from dr.providers.aws.hub import Answer, Aws
from dr.providers.aws.parameters.calls import BY_NAME, BY_PATH, HISTORY
from dr.providers.aws.parameters.config import ParametersConfig
from dr.providers.aws.parameters.standing import Both, History, Parameter, Side, unequal
from dr.providers.aws.place import Place
from dr.providers.aws.together import together
from dr.providers.aws.values import Fact, Words, chunks, leads_into

_TEN = 10


class Reader:
    """Asks. Threads may use it at once."""

    def __init__(self, aws: Aws, config: ParametersConfig, known: Words) -> None:
        self._aws, self._config, self._words = aws, config, known

    def side(self, place: Place) -> Side:
        """Everything that the runbook means. Raises StepError."""
        paths = [partial(self._below, place, path) for path in self._config.paths]
        names = [partial(self._named, place, part) for part in chunks(self._config.names, _TEN)]
        found = [item for part in together(self._aws, [*paths, *names]) for item in part]
        return Side(place, {item["Name"]: self._parameter(item) for item in found})

    def both(self, original: Place, copy: Place) -> Both:
        """Two regions, with the histories of what differs. Raises StepError."""
        with ThreadPoolExecutor(1, thread_name_prefix="parameters") as pool:  # not the common one, for whose threads ``side`` waits
            there = pool.submit(self.side, original)
            return self.with_histories(there.result(), self.side(copy))

    def with_histories(self, one: Side, other: Side) -> Both:
        """Two looks, with the histories of what differs. Raises StepError."""
        names = unequal(self._config, one, other)
        pairs = together(self._aws, [partial(self._histories, one.place, other.place, name) for name in names])
        return Both(one, other, dict(zip(names, pairs, strict=True)))

    def history(self, place: Place, name: str) -> History:
        """Every version's keyed digest. Raises StepError."""
        pages = self._aws.pages(place, HISTORY, Name=name, WithDecryption=True, MaxResults=50)
        return {int(item["Version"]): self._digest(name, item["Value"]) for page in pages for item in page["Parameters"]}

    def value(self, place: Place, name: str) -> Mapping[str, Any] | None:
        """The parameter with its value, for the one call that copies it; None: it is not there. Raises StepError."""
        found = self._named(place, [name])
        return found[0] if found else None

    def _histories(self, one: Place, other: Place, name: str) -> tuple[History, History]:
        return self.history(one, name), self.history(other, name)

    def _below(self, place: Place, path: str) -> list[Mapping[str, Any]]:
        pages: list[Answer] = list(self._aws.pages(place, BY_PATH, Path=path, Recursive=True, WithDecryption=True, MaxResults=_TEN))
        return [item for page in pages for item in page["Parameters"]]

    def _named(self, place: Place, names: list[str]) -> list[Mapping[str, Any]]:
        return list(self._aws.read(place, BY_NAME, Names=names, WithDecryption=True)["Parameters"])

    def _parameter(self, item: Mapping[str, Any]) -> Parameter:
        fact = Fact(self._digest(item["Name"], item["Value"]), leads_into(item["Value"], self._words))
        return Parameter(item["Name"], item["Type"], int(item["Version"]), item["LastModifiedDate"], fact)

    def _digest(self, name: str, value: str) -> str:
        return self._aws.site.secrets.digest(f"{name}\0{value}")
