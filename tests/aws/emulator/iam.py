"""The IAM actions that a call needs, where they are not simply ``service:Operation``.

Source: the Service Authorization Reference, https://docs.aws.amazon.com/service-authorization/latest/reference/, one page for each service.
"""

from __future__ import annotations

from tests.aws.emulator.wire import Call

PREFIX = {
    "elbv2": "elasticloadbalancing", "s3control": "s3", "service-quotas": "servicequotas", "resourcegroupstaggingapi": "tag",
    "stepfunctions": "states", "mwaa": "airflow", "dynamodbstreams": "dynamodb",
}  # fmt: skip
ACTIONS = {
    "s3:ListObjects": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket", "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions", "s3:ListBuckets": "s3:ListAllMyBuckets", "s3:HeadObject": "s3:GetObject",
    "s3:CopyObject": "s3:PutObject", "s3:DeleteObjects": "s3:DeleteObject", "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject", "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration", "s3:PutBucketReplication": "s3:PutReplicationConfiguration",
    "s3:DeleteBucketReplication": "s3:PutReplicationConfiguration", "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration", "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock", "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "lambda:Invoke": "lambda:InvokeFunction",
    "dynamodb:TransactWriteItems": "dynamodb:PutItem", "dynamodb:TransactGetItems": "dynamodb:GetItem",
}  # fmt: skip
VERSIONED = {"s3:GetObject": "s3:GetObjectVersion", "s3:HeadObject": "s3:GetObjectVersion", "s3:DeleteObject": "s3:DeleteObjectVersion"}


def iam_action(call: Call) -> list[str]:
    """The action that a policy must allow for this call; one of S3's has another name when it names a version."""
    if call.name in VERSIONED and "versionId=" in call.environ.get("QUERY_STRING", ""):
        return [VERSIONED[call.name]]
    return [ACTIONS.get(call.name, f"{PREFIX.get(call.service, call.service)}:{call.operation}")]
