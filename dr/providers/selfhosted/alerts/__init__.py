"""Public names of alert silences: each region's Alertmanager says nothing about the platform while it moves, and rings again after.

A silence always has an end of its own. Decisions (``config``, ``silences``) do no I/O but through ``api``.
"""

from dr.providers.selfhosted.alerts.kind import AlertSilence

__all__ = ["AlertSilence"]
