"""S3 control: routes of Multi-Region Access Points, and Batch Operations that replicate what is missing. Moto has neither.

Times: ``s3.batch`` from one state of a job to the next; ``s3.route`` until a submitted route shows.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote_plus

from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey
from moto.s3control.models import s3control_backends

from tests.aws.emulator.extension import s3
from tests.aws.emulator.proxy_names import ARC_ENDPOINTS
from tests.aws.emulator.registry import later, operation
from tests.aws.emulator.wire import ACCOUNT, Call, Refusal

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/MrapOperations.html: routes are read and changed in five regions
ROUTE_REGIONS = frozenset(ARC_ENDPOINTS)
_routes: dict[str, dict[str, int]] = {}  # by alias: region → 0 or 100
_access_points: dict[str, dict[str, str]] = {}  # by alias: region → bucket


@dataclass
class Job:
    """A Batch Operations job."""

    asked: dict[str, Any]
    region: str
    identifier: str
    made: datetime
    status: str = "New"
    succeeded: int = 0
    failed: int = 0
    total: int = 0


_jobs: dict[str, Job] = {}


def _known_routes(call: Call) -> dict[str, int]:
    if call.region not in ROUTE_REGIONS:
        raise Refusal("AuthorizationHeaderMalformed", f"Routes are served in {', '.join(sorted(ROUTE_REGIONS))}, not in {call.region}", 400)
    alias = call.params["Mrap"].rpartition("/")[2].rpartition(":")[2]
    backend = s3control_backends[ACCOUNT]["aws"]
    for one in backend.multi_region_access_points[ACCOUNT].values():
        if one.alias == alias and alias not in _routes:
            buckets = [s3.bucket(region["Bucket"]) for region in one.regions]
            _access_points[alias] = {bucket.region_name: bucket.name for bucket in buckets}
            _routes[alias] = {bucket.region_name: 100 for bucket in buckets}
    if alias not in _routes:
        raise Refusal("NoSuchMultiRegionAccessPoint", f"The specified Multi-Region Access Point {alias} does not exist", 404)
    return _routes[alias]


@operation("s3control:GetMultiRegionAccessPointRoutes")
def get_routes(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_GetMultiRegionAccessPointRoutes.html"""
    routes = _known_routes(call)
    buckets = _access_points[call.params["Mrap"].rpartition("/")[2].rpartition(":")[2]]
    shown = [{"Bucket": buckets[region], "Region": region, "TrafficDialPercentage": share} for region, share in routes.items()]
    return {"Mrap": call.params["Mrap"], "Routes": shown}


@operation("s3control:SubmitMultiRegionAccessPointRoutes")
def submit_routes(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_SubmitMultiRegionAccessPointRoutes.html: 0 or 100, one at least 100."""
    routes = _known_routes(call)
    buckets = _access_points[call.params["Mrap"].rpartition("/")[2].rpartition(":")[2]]
    wanted = dict(routes)
    for update in call.params["RouteUpdates"]:
        region = update.get("Region") or next((where for where, name in buckets.items() if name == update.get("Bucket")), "")
        if region not in wanted:
            raise Refusal("InvalidRequest", f"{update.get('Bucket') or region} is not part of this Multi-Region Access Point", 400)
        if update["TrafficDialPercentage"] not in (0, 100):
            raise Refusal("InvalidRequest", "TrafficDialPercentage must be 0 or 100", 400)
        wanted[region] = update["TrafficDialPercentage"]
    if 100 not in wanted.values():
        raise Refusal("InvalidRequest", "At least one Region must have a traffic dial percentage of 100", 400)
    later("s3.route", lambda: routes.update(wanted))
    return {}


@operation("s3control:CreateJob")
def create_job(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_CreateJob.html"""
    params = call.params
    for job in _jobs.values():
        if job.asked["ClientRequestToken"] == params["ClientRequestToken"]:
            if job.asked != params:
                raise Refusal("IdempotencyException", "This ClientRequestToken was used with other parameters", 400)
            return {"JobId": job.identifier}
    if list(params["Operation"]) != ["S3ReplicateObject"]:
        raise Refusal("NotImplementedByTheEmulator", f"operation {list(params['Operation'])} of a batch job", 501)
    source = _source(params)
    if s3.bucket(source).region_name != call.region:
        raise Refusal("BadRequestException", f"The job and its bucket {source} must be in the same Region", 400)
    if source not in s3.STATE.rules:
        raise Refusal("BadRequestException", f"The bucket {source} has no replication configuration", 400)
    if "Manifest" in params:
        _listed(params)
    job = Job(params, call.region, str(uuid.uuid4()), datetime.now(UTC))
    _jobs[job.identifier] = job
    later("s3.batch", lambda: _prepare(job))
    return {"JobId": job.identifier}


def _source(params: dict[str, Any]) -> str:
    """The bucket out of which a job replicates: of S3's own list, or of ours (https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_JobManifest.html)."""
    generator = params.get("ManifestGenerator", {}).get("S3JobManifestGenerator")
    if generator:
        return str(generator["SourceBucket"]).rpartition(":")[2]
    return str(params["Manifest"]["Location"]["ObjectArn"]).rpartition(":")[2].partition("/")[0]


def _listed(params: dict[str, Any]) -> list[tuple[str, str]]:
    """Key and version of each line of our own list."""
    location = params["Manifest"]["Location"]
    name, _, key = str(location["ObjectArn"]).rpartition(":")[2].partition("/")
    versions = s3.bucket(name).keys.getlist(key, [])
    if not versions or versions[-1].etag.strip('"') != location["ETag"]:
        raise Refusal("BadRequestException", "The manifest is not there, or its ETag is another one", 400)
    rows = csv.reader(io.StringIO(versions[-1].value.decode()))
    return [(unquote_plus(row[1]), row[2]) for row in rows]


def _prepare(job: Job) -> None:
    job.status = "Preparing"
    later("s3.batch", lambda: _after_preparing(job))


def _after_preparing(job: Job) -> None:
    if job.status == "Preparing":
        job.status = "Suspended" if job.asked.get("ConfirmationRequired") else "Active"
        if job.status == "Active":
            later("s3.batch", lambda: _work(job))


def _work(job: Job) -> None:
    """Every object of the manifest goes the way of a new one; https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-batch-replication-batch.html"""
    if job.status != "Active":
        return
    source = s3.bucket(_source(job.asked))
    failed = []
    for version in _chosen(job, source):
        key = (source.name, version.name, version.version_id)
        job.total += 1
        s3.STATE.failed = [one for one in s3.STATE.failed if one.version != key]
        before = len(s3.STATE.pending)
        s3.replicate(source.name, version)
        sent = len(s3.STATE.pending) > before and not s3.is_failing(source.name, version.name)
        job.succeeded += sent
        job.failed += not sent
        if not sent:
            failed.append((source.name, quote(version.name), version.version_id, "failed", "ReplicationFailed", "400", "refused"))
    if failed:
        _report(job, failed)
    later("s3.batch", lambda: setattr(job, "status", "Complete"))


def _chosen(job: Job, source: FakeBucket) -> list[FakeKey]:
    every = [version for key in source.keys for version in source.keys.getlist(key) if not isinstance(version, FakeDeleteMarker)]
    if "Manifest" in job.asked:
        listed = set(_listed(job.asked))
        return [version for version in every if (version.name, version.version_id) in listed]
    generator = job.asked["ManifestGenerator"]["S3JobManifestGenerator"].get("Filter") or {}
    wanted = set(generator.get("ObjectReplicationStatuses") or ["NONE", "FAILED", "COMPLETED", "REPLICA"])
    return [version for version in every if s3.STATE.status.get((source.name, version.name, version.version_id), "NONE") in wanted]


def _report(job: Job, failed: Sequence[tuple[str, ...]]) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-examples-reports.html"""
    report = job.asked["Report"]
    if not report["Enabled"]:
        return
    name, folder = str(report["Bucket"]).rpartition(":")[2], f"{report['Prefix']}/job-{job.identifier}"
    out = io.StringIO()
    csv.writer(out).writerows(failed)
    results = f"{folder}/results/0.csv"
    listed = {"TaskExecutionStatus": "failed", "Bucket": name, "MD5Checksum": "", "Key": results}
    s3.store().put_object(name, results, out.getvalue().encode())
    s3.store().put_object(name, f"{folder}/manifest.json", json.dumps({"Format": report["Format"], "Results": [listed]}).encode())


def _described(job: Job) -> dict[str, Any]:
    progress = {"TotalNumberOfTasks": job.total, "NumberOfTasksSucceeded": job.succeeded, "NumberOfTasksFailed": job.failed}
    arn = f"arn:aws:s3:{job.region}:{ACCOUNT}:job/{job.identifier}"
    return {
        "JobId": job.identifier, "JobArn": arn, "Status": job.status, "Operation": job.asked["Operation"], "CreationTime": job.made,
        "Priority": job.asked["Priority"], "ProgressSummary": progress, "RoleArn": job.asked["RoleArn"],
        "Description": job.asked.get("Description", ""),
    }  # fmt: skip


@operation("s3control:DescribeJob")
def describe_job(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_DescribeJob.html"""
    job = _jobs.get(call.params["JobId"])
    if job is None or job.region != call.region:
        raise Refusal("NotFoundException", f"The job {call.params['JobId']} was not found", 404)
    return {"Job": _described(job)}


@operation("s3control:ListJobs")
def list_jobs(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_ListJobs.html"""
    wanted = call.params.get("JobStatuses")
    jobs = [job for job in _jobs.values() if job.region == call.region and (not wanted or job.status in wanted)]
    return {"Jobs": [{**_described(job), "Operation": "S3ReplicateObject"} for job in jobs]}
