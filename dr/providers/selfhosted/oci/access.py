"""Who asks a registry, and how a registry fails to answer. Apart from ``wire``, so that naming an error imports no HTTP library."""

from __future__ import annotations

from dataclasses import dataclass, field

from dr.errors import Permanent, Transient


@dataclass(frozen=True)
class Login:
    """A user of a registry. Its password is in no ``repr``."""

    username: str
    password: str = field(repr=False)


class NotAnswering(Transient):
    """A registry could not be asked, and nothing was done there."""


class NotInTime(Transient):
    """We were too slow to ask; nothing is known of the registry."""


class Denied(Permanent):
    """The registry does not let these credentials do this."""


class Corrupt(Permanent):
    """A registry gave other bytes than the digest says."""
