"""DNS by RFC 2136: finds the names that lead to a region, and changes all of them in one signed update.

``zone`` is the I/O (transfer, update, one server each), ``steps`` the operations, ``kind`` joins them to the ports.
"""

from dr.providers.selfhosted.zonetmp.kind import DnsRecords

__all__ = ["DnsRecords"]
