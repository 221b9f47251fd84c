"""Watches replication: heartbeats, samples, exposure, metrics. Only reads, apart from heartbeat writes. ``prometheus_client`` lives here.
"""
