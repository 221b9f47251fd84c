"""What is called of Amazon S3. Pages: https://docs.aws.amazon.com/AmazonS3/latest/API/API_OPERATION.html, of S3 Control ``API_control_…``.

Objects are read and written on the data plane of the bucket's region. Batch jobs are control plane, of the bucket's region, too. The
routes of a Multi-Region Access Point are data plane, in five regions of which any one serves.
"""

from __future__ import annotations

from collections.abc import Mapping

from dr.providers.aws.calls import Call

_NO_BUCKET = "no such bucket: correct regions.*.bucket, or the account"
_ELSEWHERE = "the bucket is in another AWS region: correct regions.*.aws.region, or regions.*.bucket"
_BUCKET = {"NoSuchBucket": _NO_BUCKET, "PermanentRedirect": _ELSEWHERE, "AuthorizationHeaderMalformed": _ELSEWHERE}

NO_RULES = "ReplicationConfigurationNotFoundError"
NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
NO_KEY = "NoSuchKey"

VERSIONING = Call("s3", "GetBucketVersioning", refusals=_BUCKET)
"""Enabled, Suspended, or nothing: never was. API_GetBucketVersioning; NoSuchBucket."""

REPLICATION = Call("s3", "GetBucketReplication", action="s3:GetReplicationConfiguration", refusals=_BUCKET)
"""The rules of a bucket that sends. API_GetBucketReplication; ReplicationConfigurationNotFoundError, NoSuchBucket."""

ENCRYPTION = Call("s3", "GetBucketEncryption", action="s3:GetEncryptionConfiguration", refusals=_BUCKET)
"""What a bucket encrypts with by default. API_GetBucketEncryption; ServerSideEncryptionConfigurationNotFoundError, NoSuchBucket."""

KEY = Call("kms", "DescribeKey", refusals={"NotFoundException": "no such key in this region: the bucket's default encryption names it"})
"""Whether a key is enabled. https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html; InvalidArnException,
NotFoundException."""

VERSIONS = Call("s3", "ListObjectVersions", plane="data", action="s3:ListBucketVersions", refusals=_BUCKET)
"""Up to 1,000 versions and delete markers a page, by key, newest first. API_ListObjectVersions; NoSuchBucket."""

PUT = Call(
    "s3", "PutObject", act=True, plane="data",
    refusals={
        **_BUCKET, "KMS.DisabledException": "aws kms enable-key: the bucket's default key",
        "KMS.NotFoundException": "the bucket's default key is gone",
    },
)  # fmt: skip
"""One small object. API_PutObject; NoSuchBucket, and the refusals of KMS where the bucket encrypts with a key."""

GET_OBJECT = Call("s3", "GetObject", plane="data", also=("s3:ListBucket",), refusals=_BUCKET)
"""An object, and what came of its replication (``ReplicationStatus``). Who may not list the bucket is told AccessDenied for one that is
not there. API_GetObject; InvalidObjectState, NoSuchKey."""

HEAD = Call("s3", "HeadObject", plane="data", action="s3:GetObjectVersion", refusals=_BUCKET)
"""What came of the replication of one version, without its contents. API_HeadObject: 404 and 403 without a word; no key is asked for
what a bucket encrypts. https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-status.html"""

BY_KEY = Call("s3", "PutObject", act=True, plane="data", action="kms:GenerateDataKey", also=("kms:Decrypt",))
"""What IAM wants besides for objects that are encrypted with a customer's key."""

_JOBS = {
    "BadRequestException": "role, bucket and replication rule must fit each other: aws s3control describe-job shows what was asked",
    "IdempotencyException": "such a job was asked for before with other settings: aws s3control list-jobs",
}
CREATE_JOB = Call("s3control", "CreateJob", act=True, action="s3:CreateJob", refusals=_JOBS)
"""A Batch Operations job in the bucket's region. API_control_CreateJob; BadRequestException, IdempotencyException,
InternalServiceException, TooManyRequestsException."""

PASS_ROLE = Call("s3control", "CreateJob", act=True, action="iam:PassRole")
"""What IAM wants besides, on the role of the job."""

DESCRIBE_JOB = Call("s3control", "DescribeJob", action="s3:DescribeJob", refusals={"NotFoundException": "jobs are forgotten after 90 days"})
"""Status and progress of a job. API_control_DescribeJob; BadRequestException, InternalServiceException, NotFoundException,
TooManyRequestsException."""

LIST_JOBS = Call("s3control", "ListJobs", action="s3:ListJobs")
"""The jobs of a region, of the last 90 days. API_control_ListJobs; InternalServiceException, InvalidNextTokenException,
InvalidRequestException."""

ROUTE_CODES = ("us-west-2", "us-east-1", "eu-west-1", "ap-northeast-1", "ap-southeast-2")
"""Where routes are read and changed. https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_SubmitMultiRegionAccessPointRoutes.html"""

_ROUTES = {
    "NoSuchMultiRegionAccessPoint": "no such access point: correct access_point",
    "InvalidRequest": "at least one region must stay active, and the access point must have both buckets",
}
ROUTES: Mapping[str, Call] = {
    code: Call(
        "s3control", "GetMultiRegionAccessPointRoutes", plane="data", home=code, action="s3:GetMultiRegionAccessPointRoutes",
        refusals=_ROUTES,
    )
    for code in ROUTE_CODES
}  # fmt: skip
"""Which regions get traffic: 100 or 0 each. API_control_GetMultiRegionAccessPointRoutes; NoSuchMultiRegionAccessPoint."""

SUBMIT: Mapping[str, Call] = {
    code: Call(
        "s3control", "SubmitMultiRegionAccessPointRoutes", act=True, plane="data", home=code,
        action="s3:SubmitMultiRegionAccessPointRoutes", refusals=_ROUTES,
    )
    for code in ROUTE_CODES
}  # fmt: skip
"""Moves traffic; both regions in one call; takes up to 2 minutes to hold everywhere. API_control_SubmitMultiRegionAccessPointRoutes;
InvalidRequest (no region would be active), NoSuchMultiRegionAccessPoint."""
