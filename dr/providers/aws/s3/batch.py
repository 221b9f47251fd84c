"""Batch Replication: jobs of S3 Batch Operations that send what a rule did not send. One job for a list, found again by its description.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-batch-replication-batch.html
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from dr.errors import Permanent, StepError
from dr.model.evidence import NAMED
from dr.ports import AttemptContext
from dr.providers.aws.config import account_of
from dr.providers.aws.s3.calls import CREATE_JOB, DESCRIBE_JOB, LIST_JOBS
from dr.providers.aws.s3.listing import Version
from dr.providers.aws.s3.objects import put, read

if TYPE_CHECKING:
    from dr.providers.aws.s3.kind import S3Bucket

ENDED_BADLY = ("Failed", "Cancelled", "Suspended", "Paused")
_UNDER_WAY = ("New", "Preparing", "Ready", "Active", "Completing", "Pausing", "Paused", "Suspended")
_LIST, _REPORT = "S3BatchOperations_CSV_20180820", "Report_CSV_20180820"


@dataclass(frozen=True)
class Job:
    """A job as described. ``reason``: why it ended badly, or waits."""

    id: str
    status: str
    total: int
    failed: int
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Well: some of its objects may have failed, which it counts."""
        return self.status == "Complete"


def account(owner: S3Bucket) -> str:
    """Whose jobs they are: those of the role."""
    if owner.config.batch_role is None:
        raise Permanent(
            f"{owner.name}: no batch_role in the runbook: nothing can be replicated that the rules did not",
            hint="https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-batch-replication-policies.html, then batch_role: ARN",
        )  # fmt: skip
    return account_of(owner.config.batch_role)


def parameters(owner: S3Bucket, region: str, description: str, token: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What CreateJob is sent. manifest: ``Manifest`` or ``ManifestGenerator``."""
    return {
        "AccountId": account(owner), "ConfirmationRequired": False, "Operation": {"S3ReplicateObject": {}}, "Priority": 10,
        "RoleArn": owner.config.batch_role, "Description": description, "ClientRequestToken": token,
        "Report": {
            "Bucket": owner.arn(region), "Format": _REPORT, "Enabled": True, "Prefix": f"{owner.config.prefix}batch",
            "ReportScope": "FailedTasksOnly",
        },
        **manifest,
    }  # fmt: skip


def chosen_by_s3(owner: S3Bucket, region: str) -> dict[str, Any]:
    """S3 makes the list itself: what no rule ever sent, and what failed."""
    wanted = {"EligibleForReplication": True, "ObjectReplicationStatuses": ["NONE", "FAILED"]}
    return {
        "ManifestGenerator": {
            "S3JobManifestGenerator": {"SourceBucket": owner.arn(region), "EnableManifestOutput": False, "Filter": wanted}
        }
    }  # fmt: skip


def listed(owner: S3Bucket, region: str, key: str, etag: str) -> dict[str, Any]:
    """A list of ours: exactly these versions."""
    return {
        "Manifest": {
            "Spec": {"Format": _LIST, "Fields": ["Bucket", "Key", "VersionId"]},
            "Location": {"ObjectArn": f"{owner.arn(region)}/{key}", "ETag": etag.strip('"')},
        }
    }  # fmt: skip


def start(owner: S3Bucket, context: AttemptContext, region: str, items: Sequence[Version] | None) -> str:
    """The id of a job that sends these versions out of a region's bucket; one of this step that is under way is taken as it is.

    Args:
        items: None: S3 chooses.

    Raises:
        StepError: as ``Aws.act``; Permanent where the runbook has no role for it.
    """
    account(owner)
    described = f"dr {context.run_id} {context.step.id} out of {owner.bucket(region)}"
    under_way = _under_way(owner, region, described)
    if under_way:
        return under_way
    token = hashlib.sha256(f"{context.key} {described} {context.number}".encode()).hexdigest()[:40]
    manifest = chosen_by_s3(owner, region)
    if items is not None:
        key, body = f"{owner.config.prefix}batch/{token}.csv", _rows(owner.bucket(region), items)
        manifest = listed(owner, region, key, put(owner, context, region, key, body))
    answer = owner.aws.act(context, owner.places[region], CREATE_JOB, **parameters(owner, region, described, token, manifest))
    return str(answer["JobId"])


def job(owner: S3Bucket, region: str, identifier: str) -> Job:
    """How far a job is. Raises StepError."""
    place = owner.places[region]
    found = owner.aws.read(place, DESCRIBE_JOB, AccountId=account(owner), JobId=identifier)["Job"]
    progress = found.get("ProgressSummary") or {}
    reasons = [str(item.get("FailureReason", "")) for item in found.get("FailureReasons", ())]
    reasons += [str(found[name]) for name in ("StatusUpdateReason", "SuspendedCause") if found.get(name)]
    return Job(
        identifier, str(found["Status"]), int(progress.get("TotalNumberOfTasks", 0)), int(progress.get("NumberOfTasksFailed", 0)),
        "; ".join(reasons),
    )  # fmt: skip


def failed_names(owner: S3Bucket, region: str, identifier: str) -> tuple[str, ...]:
    """The first keys that a job could not replicate, with the reason, out of its report; none where that cannot be read."""
    place = owner.places[region]
    try:
        manifest = read(owner, place, f"{owner.config.prefix}batch/job-{identifier}/manifest.json")
        results = json.loads(manifest.body)["Results"] if manifest is not None else ()
        reports = [read(owner, place, item["Key"]) for item in results if item["TaskExecutionStatus"] == "failed"]
    except (StepError, ValueError, KeyError, TypeError):
        return ()
    rows = [row for report in reports if report is not None for row in csv.reader(io.StringIO(report.body.decode(errors="replace")))]
    return tuple(f"{unquote_plus(row[1])} ({row[4]})" for row in rows[:NAMED] if len(row) > 4)


def _under_way(owner: S3Bucket, region: str, described: str) -> str:
    place = owner.places[region]
    pages = owner.aws.pages(place, LIST_JOBS, AccountId=account(owner), JobStatuses=list(_UNDER_WAY))
    return next((str(item["JobId"]) for page in pages for item in page.get("Jobs", ()) if item.get("Description") == described), "")


def _rows(bucket: str, items: Sequence[Version]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows((bucket, quote(item.key), item.version) for item in items)
    return out.getvalue().encode()
