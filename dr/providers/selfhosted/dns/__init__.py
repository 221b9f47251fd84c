"""Public names of a zone that is served by one authoritative server in each region, moved by signed dynamic updates (RFC 2136).

Decisions (``records``) are pure; ``wire`` talks to the servers; each verb has its own file. Nothing here knows of the lab.
"""

from dr.providers.selfhosted.dns.kind import DnsRecords

__all__ = ["DnsRecords"]
