"""Does a value lead into a region? Pure. What a value says is looked at and dropped; only the region's name is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from dr.providers.selfhosted.vault.config import VaultConfig
from dr.providers.selfhosted.vault.secret import Value

Words = Mapping[str, re.Pattern[str]]
"""Region → what in a text leads into it."""

_BEFORE, _AFTER = r"(?<![A-Za-z0-9_.-])", r"(?![A-Za-z0-9_-]|\.[A-Za-z0-9])"


def words(config: VaultConfig) -> Words:
    """The runbook's words as they are written, else each region's address and its name as a whole part of a host name."""
    found = {}
    for region, server in config.regions.items():
        given = config.lost_region_words.get(region)
        if given is not None:
            parts = [re.escape(word) for word in given]
        else:
            label = re.escape(region)
            # east in postgres.east.internal or east.example.com; not in "the far east.", eastern, us-east-1 or north-east.example
            named = rf"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]+\.)*{label}\.[A-Za-z0-9_-]|\.{label}(?![A-Za-z0-9_-])"
            parts = [rf"{_BEFORE}{re.escape(urlsplit(server.url).hostname or server.url)}{_AFTER}", named]
        found[region] = re.compile("|".join(f"(?:{part})" for part in parts) or r"(?!)", re.IGNORECASE)
    return found


def leads_into(value: Value, known: Words) -> frozenset[str]:
    """The regions that some text of a value leads into."""
    texts = list(value.strings())
    return frozenset(region for region, pattern in known.items() if any(pattern.search(text) for text in texts))
