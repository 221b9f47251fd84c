"""The kind ``aws.s3-bucket``: one bucket in each of two regions, replicated by S3 itself (cross-region replication).

Data: ``calls``, ``config``, ``listing`` (what both sides hold, compared). Decisions: ``judge``. Asking: ``look``, ``routes``, ``batch``.
What a run does: ``steps``, ``protect``, ``redirect``; ``chains`` puts them in order.
"""

from dr.providers.aws.s3.kind import S3Bucket as S3Bucket
