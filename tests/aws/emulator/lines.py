"""Which regions are cut off just now: a service that spans regions is told so by this, as its own health checks would tell it."""

from __future__ import annotations

_lost: set[str] = set()


def lost(region: str) -> bool:
    """Whether the region is gone."""
    return region in _lost


def mark(region: str, gone: bool) -> None:
    """The region is gone, or back."""
    if gone:
        _lost.add(region)
    else:
        _lost.discard(region)
