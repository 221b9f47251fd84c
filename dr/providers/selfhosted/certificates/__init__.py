"""TLS certificates of public names in each region: there, with their key, for the right name, of the right authority, and not too old.

The one place where certificates are judged; what other kinds want to know of certificates they ask here.
"""

from dr.providers.selfhosted.certificates.kind import TlsCertificates

__all__ = ["TlsCertificates"]
