"""Watches replication: heartbeats, samples, exposure, metrics. Only reads, apart from heartbeat writes.

``exposure`` and ``watch`` decide and are pure; ``sampler`` and ``daemon`` do; ``metrics`` is the one list of Prometheus names.
``prometheus_client`` is imported by ``metrics`` and ``exporter`` only, so that ``dr status`` does not pay for it.
"""
