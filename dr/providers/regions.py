"""Regions that a component's settings name, compared with those of the runbook. The words are those of ``dr.config``."""

from __future__ import annotations

from collections.abc import Collection

from dr.errors import UsageError
from dr.ports import Site


def known_regions(name: str, named: Collection[str], site: Site, field: str = "regions") -> None:
    """The runbook has every region that a component names.

    Args:
        name: the component.
        field: the setting that names them.

    Raises:
        UsageError: an unknown region.
    """
    unknown = sorted(set(named) - site.regions.keys())
    if unknown:
        raise UsageError(f"{name}: {field}.{unknown[0]}: unknown region", hint=f"known: {', '.join(sorted(site.regions))}")


def same_regions(name: str, named: Collection[str], site: Site, field: str = "regions") -> None:
    """A component names every region of the runbook, and no other. Arguments as for ``known_regions``.

    Raises:
        UsageError: an unknown region, or one that is left out.
    """
    known_regions(name, named, site, field)
    missing = sorted(site.regions.keys() - set(named))
    if missing:
        text = f"{name}: {field}: expected every region of the runbook; not there: {', '.join(missing)}"
        raise UsageError(text, hint=f"write {field}: {{{missing[0]}: …}}")
