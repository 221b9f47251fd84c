"""How much a region had before a run changed it: written down before anything is changed.

What a look finds is journaled when its attempt ends, and an attempt that waits for the last writer may be killed within minutes after it
took everybody down. Who goes on would find nothing there, and know of nothing to give back. So the attempt that finds it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from dr.errors import Transient
from dr.model.evidence import Evidence, Sized
from dr.ports import AttemptContext


def sized(context: AttemptContext, component: str, region: str) -> Iterator[Sized]:
    """What this run found in a region, oldest first."""
    return (item for item in context.evidence if isinstance(item, Sized) and (item.component, item.region) == (component, region))


def written_down(context: AttemptContext, before: Sized | None) -> tuple[Evidence, ...]:
    """What a step that is taken back by it preserves. before: what was found first, by what is journaled.

    Raises:
        Transient: it was found only now; the next attempt changes it.
    """
    if before is None and context.step.undoable:
        raise Transient("what is there is written down before it is changed", hint="the next attempt changes it")
    return ()
