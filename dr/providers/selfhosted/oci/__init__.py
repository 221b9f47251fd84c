"""Container images in one registry for each region (OCI distribution, API v2): compared by digest, copied byte for byte, pulled to see.

Data and decisions (``images``, ``wanted``, ``inventory``, ``judge``, ``tags``) are pure; ``wire`` and ``auth`` talk to registries, ``look``
and ``mirror`` ask and copy in parallel, ``steps`` are what a run does. Nothing here knows of the lab.
"""

from dr.providers.selfhosted.oci.kind import OciRegistry

__all__ = ["OciRegistry"]
