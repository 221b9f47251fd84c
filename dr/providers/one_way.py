"""What most steps have in common: they destroy nothing and have no undo."""

from __future__ import annotations

from dr.errors import Permanent
from dr.model.evidence import Evidence
from dr.ports import AttemptContext


class OneWay:
    """Base of operations. A step that destroys something, or whose spec says ``undoable``, has its own ``preserve`` or ``undo``."""

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Destroys nothing."""
        return ()

    def undo(self, context: AttemptContext) -> None:
        """Raises Permanent: there is no way back."""
        raise Permanent(f"{context.step.id} cannot be undone")
