"""What ``dr`` asks of AWS and how long it takes, against the emulator: ``python -m tests.bench.aws [--runs N]``, a JSON line for each row.

``make bench`` prints them in its table. Everything goes over HTTP; the emulator shares the machine's processors with ``dr``.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.session

from dr.model.words import Intent, Known, Verb
from dr.ports import Look
from dr.providers.aws.dynamodb import DynamoDbGlobalTable
from dr.providers.aws.ecr import Ecr
from dr.providers.aws.kind import AwsKind
from dr.providers.aws.metrics import FRESH
from dr.providers.aws.route53 import Route53Records
from dr.providers.aws.s3 import S3Bucket
from dr.providers.aws.secrets import SecretsManager
from tests.aws.cloud import REGIONS, Cloud, cloud
from tests.aws.emulator import Emulator, Made
from tests.aws.emulator.seed import seed
from tests.aws.rig import CODES, Rig
from tests.aws.test_route53 import Zone

DEPLOYMENTS, COMPONENTS = 80, 100
LAGGING = {"s3": COMPONENTS // 2, "dynamodb": COMPONENTS - COMPONENTS // 2}
READS = ("Describe", "Get", "List", "Batch", "Head", "Query", "Decrypt", "GenerateDataKey", "Scan")
"""Operations whose names begin so change nothing."""
ACCEPT = ("--accept-split", "--accept-data-loss", "15m", "--reason", "bench", "--json")
Row = tuple[str, str, str]


@contextmanager
def rigged() -> Iterator[tuple[Emulator, Rig]]:
    """An empty account in two regions."""
    with tempfile.TemporaryDirectory() as folder, Emulator(tuple(CODES.values())) as emulator:
        rig = Rig(Path(folder), emulator)
        try:
            yield emulator, rig
        finally:
            rig.close()


def polls() -> Iterator[Row]:
    """One poll of the lag of a hundred components: the first one, and one when everything that seldom changes is known."""
    with rigged() as (emulator, rig):
        kinds = [*_buckets(emulator, rig), *_tables(emulator, rig)]
        for what, goal in (
            ("the first poll, settings included", ""),
            ("the first poll with all questions known", ""),
            ("any poll after", "≤ 3"),
        ):
            time.sleep(FRESH.total_seconds() + 0.5)
            with emulator.counted() as made, ThreadPoolExecutor(16) as pool:
                known = sum(sample.state is not Known.UNKNOWN for sample in pool.map(lambda kind: kind.sample(None), kinds))
            yield f"aws: lag of {COMPONENTS} components in two regions: {what}", goal, f"{_counted(made)}; {known} known"


def _buckets(emulator: Emulator, rig: Rig) -> Iterator[AwsKind[Any, Any]]:
    """Pairs of buckets, which measure their replication both ways."""
    for number in range(LAGGING["s3"]):
        names = {region: f"bench-{number:03}-{code}" for region, code in CODES.items()}
        for region, code in CODES.items():
            s3 = emulator.client("s3", code)
            s3.create_bucket(
                Bucket=names[region], **({} if code == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": code}})
            )
            s3.put_bucket_versioning(Bucket=names[region], VersioningConfiguration={"Status": "Enabled"})
        for source, target in (("east", "west"), ("west", "east")):
            on = {"Status": "Enabled"}
            rule = {
                "ID": "all", "Priority": 1, "Filter": {}, **on, "DeleteMarkerReplication": on,
                "Destination": {"Bucket": f"arn:aws:s3:::{names[target]}", "Metrics": {**on, "EventThreshold": {"Minutes": 15}}},
            }  # fmt: skip
            rules = {"Role": f"arn:aws:iam::{emulator.account}:role/bench", "Rules": [rule]}
            emulator.client("s3", CODES[source]).put_bucket_replication(Bucket=names[source], ReplicationConfiguration=rules)
            which = {"SourceBucket": names[source], "DestinationBucket": names[target], "RuleId": "all"}
            emulator.set_metric(CODES[source], "AWS/S3", "OperationsPendingReplication", which, 0.0)
        yield rig.make(S3Bucket, f"bucket-{number}", {"regions": {region: {"bucket": name} for region, name in names.items()}})


def _tables(emulator: Emulator, rig: Rig) -> Iterator[AwsKind[Any, Any]]:
    """Global tables."""
    first = emulator.client("dynamodb", CODES["east"])
    for number in range(LAGGING["dynamodb"]):
        name = f"bench-{number:03}"
        first.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        first.update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": CODES["west"]}}])
        yield rig.make(DynamoDbGlobalTable, f"table-{number}", {"table": name, "regions": {"east": {}, "west": {}}})


def views() -> Iterator[Row]:
    """One look at the images and at the secrets of all Deployments."""
    with rigged() as (emulator, rig):
        platform = seed(emulator, CODES["east"], CODES["west"], deployments=DEPLOYMENTS, parts=("images", "secrets"))
        both: dict[str, object] = {"east": {}, "west": {}}
        images = [f"{name}:{tag}" for name in platform.repositories for tag in ("current", "previous")]
        kinds: list[tuple[AwsKind[Any, Any], str]] = [
            (
                rig.make(Ecr, "images", {"images": images, "regions": both}),
                f"{len(images)} images in {len(platform.repositories)} repositories",
            ),
            (rig.make(SecretsManager, "secrets", {"prefixes": ["airflow/"], "regions": both}), f"{len(platform.secrets)} secrets"),
        ]
        for kind, what in kinds:
            with emulator.counted() as made:
                began = time.monotonic()
                kind.view()
                took = time.monotonic() - began
                time.sleep(1)  # what was too late for the look ends, and counts
            yield f"aws: one look at {what}, two regions", "", f"{_counted(made)}; {took:.1f} s"


def records() -> Iterator[Row]:
    """Names edited in one zone, as the fallback does it."""
    with rigged() as (emulator, rig):
        for count, goal in ((500, "1, atomic"), (10_000, "20, paced")):
            zone = Zone(emulator)
            zone.simple(count)
            kind = rig.make(Route53Records, f"names-{count}", zone.settings())
            step = rig.step(kind, Intent.FAILOVER, Verb.REDIRECT)
            with emulator.counted() as made:
                began = time.monotonic()
                assert rig.perform(step, Intent.FAILOVER).look is Look.DONE
                took = time.monotonic() - began
            changes = sum(call.operation == "ChangeResourceRecordSets" for call in made)
            yield f"aws: {count:,} A records in one zone led over: change calls", goal, f"{changes} ({len(made)} calls in {took:.1f} s)"


def failovers(runs: int) -> Iterator[Row]:
    """80 Deployments with three names each, region A gone: from Enter to the first act at B, and what ``dr`` itself adds."""
    for how in ("refuse", "blackhole"):
        first, added, confirmed = [], [], []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder, cloud(Path(folder), deployments=DEPLOYMENTS) as made:
                one, run = _failover(made, how)
                first.append(one)
                added.append(run["overhead_seconds"])
            with tempfile.TemporaryDirectory() as folder, cloud(Path(folder), deployments=DEPLOYMENTS) as made:
                confirmed.append(_confirmed(made, how))
        where = f"aws: {DEPLOYMENTS} Deployments, region A gone ({how})"
        yield f"{where}: Enter of the command itself, with --yes → first act at B", "≤ 2 s", _spread(first)
        yield f"{where}: Enter after the question → first act at B", "≤ 2 s", _spread(confirmed)
        yield f"{where}: added to the critical path", "≤ 1 s", _spread(added)


def _failover(made: Cloud, how: str) -> tuple[float, dict[str, Any]]:
    """Seconds to the first act, and the run's report."""
    apart = _lost(made, how)
    began = time.monotonic()
    said = made.dr("failover", str(made.runbook), "--to", REGIONS[1], "--yes", *ACCEPT, timeout=900)
    if said.code != 0:
        raise SystemExit(f"the failover ended with {said.code}: {said.out[-2000:]}{said.err[-2000:]}")
    return _first_act(made) - apart - began, said.report


def _confirmed(made: Cloud, how: str) -> float:
    """The same, asked on a terminal: seconds from the Enter that lets it begin."""
    apart = _lost(made, how)
    ours, its = pty.openpty()
    words = [sys.executable, "-m", "dr", "failover", str(made.runbook), "--to", REGIONS[1], *ACCEPT]
    environment = made.environment("laptop")
    with subprocess.Popen(words, stdin=its, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as running:
        assert running.stderr is not None
        shown = b""
        while b"to go on" not in shown:
            more = os.read(running.stderr.fileno(), 65_536)
            if not more:
                raise SystemExit(f"it did not ask: {shown[-2000:].decode()}")
            shown += more
        time.sleep(2)  # a person reads
        began = time.monotonic()
        os.write(ours, b"airflow-aws\n")
        running.stderr.read()
    os.close(ours)
    os.close(its)
    return _first_act(made) - apart - began


def _lost(made: Cloud, how: str) -> float:
    """The monitor has seen all, and the region is gone; how far the emulator's stopwatch is from ours."""
    made.watched("laptop")
    made.lose(REGIONS[0], how)
    apart = _clocks_apart(made, REGIONS[1])
    made.emulator.clear_calls()
    return apart


def _first_act(made: Cloud) -> float:
    return min(call.at for call in made.emulator.calls(region=REGIONS[1]) if not call.operation.startswith(READS))


def _clocks_apart(made: Cloud, region: str) -> float:
    """What the emulator's stopwatch shows more than ours: by a call that arrived between two looks at ours."""
    made.emulator.clear_calls()
    session = botocore.session.get_session()
    session.set_config_variable("config_file", str(made.emulator.config_file))
    client = boto3.Session(botocore_session=session, profile_name=region).client("sts", region_name=region)
    before = time.monotonic()
    client.get_caller_identity()
    middle = (before + time.monotonic()) / 2
    [call] = made.emulator.calls(region=region)
    return call.at - middle


def _counted(made: list[Made]) -> str:
    names = Counter(call.name for call in made)
    return f"{len(made)} calls" + (f" ({', '.join(f'{count} {name}' for name, count in names.most_common(4))})" if names else "")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}, n={len(values)})"


def main() -> None:
    """Measures; a row is printed as soon as it is there."""
    parts: dict[str, Callable[[int], Iterator[Row]]] = {
        "polls": lambda _runs: polls(), "views": lambda _runs: views(), "records": lambda _runs: records(), "failovers": failovers,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="failovers of each sort (default: 3)")
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    for name in options.only:
        for row in parts[name](options.runs):
            print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
