"""PostgreSQL with streaming replication: lag and recovery point, fence, promote, preserve, follow.

Decisions (``wal``, ``findings``, ``lag.decide``) are pure; I/O is in ``connect`` (SQL) and ``server`` (the tools on a region's host);
each verb has its own file. Nothing here knows of the lab: it is what a self-hosted user runs.
"""

from dr.providers.selfhosted.postgres.kind import Postgres

__all__ = ["Postgres"]
