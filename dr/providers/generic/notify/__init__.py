"""Tells people what a run does. Nothing waits for a message: one that cannot be sent is a deviation, and none is sent twice."""

from dr.providers.generic.notify.kind import Notify

__all__ = ["Notify"]
