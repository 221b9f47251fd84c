"""Self-hosted servers: PostgreSQL streaming replication, DNS by RFC 2136.
"""
