"""S3 replication between buckets that really copies, with status and metrics, and buckets that answer only in their own region.

Why not moto's: it forgets most of a replication rule, copies nothing, and answers for a bucket in any region.
Times: ``s3.replication`` for each object. What is pending towards a lost region stays pending until it is back.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend, s3_backends

from tests.aws.emulator.extension.cloudwatch import COMPUTED
from tests.aws.emulator.lines import lost
from tests.aws.emulator.registry import Forgetful, after, before, control, later, now, operation, seconds
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

Version = tuple[str, str, str]  # bucket, key, version
ANYWHERE = ("ListBuckets", "CreateBucket", "?")


@dataclass
class Copying:
    """One object on its way. ``since`` is the server's clock."""

    version: Version
    rule: str
    target: str
    size: int
    since: float


@dataclass
class State(Forgetful):
    """Replication of every bucket."""

    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: dict[Version, str] = field(default_factory=dict)
    pending: list[Copying] = field(default_factory=list)
    failed: list[Copying] = field(default_factory=list)
    failing: set[tuple[str, str]] = field(default_factory=set)  # bucket, pattern of keys
    held: set[str] = field(default_factory=set)  # buckets out of which nothing is copied just now
    last_latency: dict[tuple[str, str, str], float] = field(default_factory=dict)


STATE = State()


def store() -> S3Backend:
    """Moto's S3: one for all regions."""
    return s3_backends[ACCOUNT]["aws"]


def bucket(name: str) -> FakeBucket:
    """A bucket, or NoSuchBucket."""
    known = store().buckets
    if name not in known:
        raise Refusal("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=name)
    return known[name]


@control
def fail_replication(bucket: str, keys: str) -> None:
    """Objects whose keys match this pattern fail to replicate from now on; an empty pattern: none does any more."""
    STATE.failing = {(name, pattern) for name, pattern in STATE.failing if name != bucket} | ({(bucket, keys)} if keys else set())


@control
def hold_replication(bucket: str, held: bool) -> None:
    """Nothing is copied out of the bucket while it is held; what waits is pending."""
    STATE.held = STATE.held | {bucket} if held else STATE.held - {bucket}


def is_failing(name: str, key: str) -> bool:
    """It was said that such objects fail."""
    return any(bucket == name and fnmatch.fnmatchcase(key, pattern) for bucket, pattern in STATE.failing)


@before("s3")
def in_its_own_region(call: Call) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingBucket.html: a bucket is asked in its region (PermanentRedirect)."""
    name = call.path.get("Bucket") or call.environ.get("PATH_INFO", "/").split("/")[1]
    known = store().buckets.get(name)
    if call.operation not in ANYWHERE and known is not None and call.proxied and known.region_name != call.region:
        text = f"The bucket is in {known.region_name}; the bucket you are attempting to access must be addressed using its endpoint."
        raise Refusal("PermanentRedirect", text, 301, (("x-amz-bucket-region", known.region_name),))


@operation("s3:PutBucketReplication")
def put_bucket_replication(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketReplication.html"""
    source, config = bucket(call.params["Bucket"]), call.params["ReplicationConfiguration"]
    if not source.is_versioned:
        text = "Versioning must be 'Enabled' on the bucket to apply a replication configuration"
        raise Refusal("InvalidRequest", text, 400)
    for number, rule in enumerate(config["Rules"], 1):
        target = bucket(rule["Destination"]["Bucket"].rpartition(":")[2])
        if not target.is_versioned:
            raise Refusal("InvalidRequest", "Destination bucket must have versioning enabled.", 400)
        if "Filter" in rule and "DeleteMarkerReplication" not in rule:
            text = "DeleteMarkerReplication must be specified for this version of Cross Region Replication configuration schema."
            raise Refusal("InvalidRequest", text, 400)
        if rule["Destination"].get("ReplicationTime") and not rule["Destination"].get("Metrics"):
            raise Refusal("InvalidRequest", "ReplicationTime is enabled together with Metrics", 400)
        rule.setdefault("ID", f"rule-{number}")
    STATE.rules[source.name] = config
    return {}


@operation("s3:GetBucketReplication")
def get_bucket_replication(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketReplication.html"""
    name = bucket(call.params["Bucket"]).name
    if name not in STATE.rules:
        raise Refusal("ReplicationConfigurationNotFoundError", "The replication configuration was not found", 404, BucketName=name)
    return {"ReplicationConfiguration": STATE.rules[name]}


@operation("s3:DeleteBucketReplication")
def delete_bucket_replication(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketReplication.html"""
    STATE.rules.pop(bucket(call.params["Bucket"]).name, None)
    return {}


# what was written is copied


def _newest(name: str, key: str) -> FakeKey | FakeDeleteMarker | None:
    versions = bucket(name).keys.getlist(key, [])
    return versions[-1] if versions else None


@after("s3:PutObject")
def put_object(call: Call, answer: Answer) -> None:
    """New objects are copied as the rules say."""
    _replicate_newest(call)


@after("s3:CopyObject")
def copy_object(call: Call, answer: Answer) -> None:
    """A copy is a new object."""
    _replicate_newest(call)


@after("s3:CompleteMultipartUpload")
def complete_multipart_upload(call: Call, answer: Answer) -> None:
    """So is an upload in parts."""
    _replicate_newest(call)


@after("s3:DeleteObject")
def delete_object(call: Call, answer: Answer) -> None:
    """A delete marker is copied only where the rule says so; deleting a version never is."""
    if "versionId=" not in call.environ.get("QUERY_STRING", ""):
        _replicate_newest(call)


def _replicate_newest(call: Call) -> None:
    name, key = call.path["Bucket"], call.path["Key"]
    newest = _newest(name, key)
    if newest is not None and name in STATE.rules:
        replicate(name, newest)


def replicate(name: str, version: FakeKey | FakeDeleteMarker) -> None:
    """Start copying one version where a rule matches it."""
    marker = isinstance(version, FakeDeleteMarker)
    size = 0 if isinstance(version, FakeDeleteMarker) else len(version.value)
    for rule in STATE.rules.get(name, {}).get("Rules", []):
        markers = rule.get("DeleteMarkerReplication", {}).get("Status") == "Enabled"
        if rule["Status"] != "Enabled" or not version.name.startswith(_prefix(rule)) or (marker and not markers):
            continue
        target = rule["Destination"]["Bucket"].rpartition(":")[2]
        copying = Copying((name, version.name, version.version_id), rule["ID"], target, size, now())
        STATE.status[copying.version] = "PENDING"
        STATE.pending.append(copying)
        later("s3.replication", partial(_copied, copying))


def _prefix(rule: dict[str, Any]) -> str:
    chosen = rule.get("Filter") or {}
    return str(chosen.get("Prefix") or chosen.get("And", {}).get("Prefix") or rule.get("Prefix") or "")


def _copied(copying: Copying) -> None:
    name, key, identifier = copying.version
    source, target = store().buckets.get(name), store().buckets.get(copying.target)
    if source is None or target is None:
        return
    if name in STATE.held or lost(source.region_name) or lost(target.region_name):
        later("s3.replication", lambda: _copied(copying))
        return
    STATE.pending.remove(copying)
    if is_failing(name, key):
        STATE.status[copying.version] = "FAILED"
        STATE.failed.append(copying)
        return
    version = next((one for one in source.keys.getlist(key, []) if one.version_id == identifier), None)
    if version is not None:
        write_replica(version, target)
        STATE.status[copying.version] = "COMPLETED"
        STATE.last_latency[name, copying.target, copying.rule] = now() - copying.since


def write_replica(version: FakeKey | FakeDeleteMarker, target: FakeBucket) -> None:
    """The same key, version, time and contents in another bucket, marked as a replica."""
    here = [one for one in target.keys.getlist(version.name, []) if one.version_id != version.version_id]
    if isinstance(version, FakeDeleteMarker):
        copy: FakeKey | FakeDeleteMarker = FakeDeleteMarker(version.key)
        copy._version_id = version.version_id
    else:
        copy = FakeKey(
            version.name, version.value, ACCOUNT, target.region_name, version.storage_class, version._etag, is_versioned=True,
            version_id=version.version_id, multipart=version.multipart, bucket_name=target.name,
        )  # fmt: skip
        copy.set_metadata(version.metadata, replace=True)
        copy.last_modified = version.last_modified
    target.keys.setlist(version.name, [*here, copy])
    STATE.status[target.name, version.name, version.version_id] = "REPLICA"


@after("s3:HeadObject")
def head_object(call: Call, answer: Answer) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-status.html"""
    return _with_status(call, answer)


@after("s3:GetObject")
def get_object(call: Call, answer: Answer) -> Answer:
    """The same header."""
    return _with_status(call, answer)


def _with_status(call: Call, answer: Answer) -> Answer:
    name, key = call.path["Bucket"], call.path["Key"]
    version = next((value for header, value in answer.headers if header.lower() == "x-amz-version-id"), "null")
    status = STATE.status.get((name, key, version))
    return Answer(answer.status, [*answer.headers, ("x-amz-replication-status", status)], answer.body) if status else answer


# metrics, in the source's region


def _metric(region: str, namespace: str, name: str, dimensions: dict[str, str]) -> float | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/repl-metrics.html (ReplicationLatency in seconds)"""
    if namespace != "AWS/S3" or set(dimensions) != {"SourceBucket", "DestinationBucket", "RuleId"}:
        return None
    source, target, rule = dimensions["SourceBucket"], dimensions["DestinationBucket"], dimensions["RuleId"]
    known = [one for one in STATE.rules.get(source, {}).get("Rules", []) if one["ID"] == rule]
    if not known or not known[0]["Destination"].get("Metrics") or bucket(source).region_name != region:
        return None
    pending = [one for one in STATE.pending if (one.version[0], one.target, one.rule) == (source, target, rule)]
    failed = [one for one in STATE.failed if (one.version[0], one.target, one.rule) == (source, target, rule)]
    oldest = max((now() - one.since for one in pending), default=0.0)
    return {
        "ReplicationLatency": oldest if pending else STATE.last_latency.get((source, target, rule), seconds("s3.replication")),
        "BytesPendingReplication": float(sum(one.size for one in pending)), "OperationsPendingReplication": float(len(pending)),
        "OperationsFailedReplication": float(len(failed)),
    }.get(name)  # fmt: skip


COMPUTED.append(_metric)
