"""Objects in a bucket of each of two regions (any S3-compatible store), kept equal by the stores' own replication.

Decisions (``objects``, ``control``, ``view``) are pure; ``wire`` talks to the stores; each verb has its own file. Nothing here replicates
in normal times and nothing knows of the lab. Seven calls of S3 are used, signed here: boto3 is half a second of start-up that every
``dr status`` and every failover would pay. The tests hold each signature against botocore's.
"""

from dr.providers.selfhosted.s3.kind import S3Bucket

__all__ = ["S3Bucket"]
