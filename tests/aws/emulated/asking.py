"""What the tests of the emulator share: clients as ``dr`` has them, refusals, parts of the platform, metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.emulator import Emulator
from tests.aws.emulator.seed import Platform, seed

WEST, EAST = "us-west-2", "eu-west-1"
MINUTE = 60.0
PLAIN = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=60)
HASTY = Config(retries={"total_max_attempts": 1}, connect_timeout=0.3, read_timeout=0.3)


def client(aws: Emulator, service: str, profile: str, config: Config = PLAIN) -> Any:
    """A client as ``dr`` would have it: by profile, through the region's proxy."""
    with mock.patch.dict(os.environ, aws.environment()):
        return _session(aws.pid, profile).client(service, config=config)


@cache
def _session(_emulator: int, profile: str) -> boto3.Session:
    return boto3.Session(profile_name=profile)


@contextmanager
def refused(code: str) -> Iterator[None]:
    """The call inside is answered with this error."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code, caught.value


def build(aws: Emulator, *parts: str, **options: Any) -> Platform:
    """Parts of the platform with two Deployments, in sync; from now on everything takes a minute."""
    made = seed(aws, WEST, EAST, deployments=2, parts=parts, **options)
    aws.set_seconds(seconds=MINUTE)
    return made


def metric(namespace: str, name: str, **dimensions: str) -> dict[str, Any]:
    """A query's metric."""
    return {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()]}


def values(aws: Emulator, region: str, asked: dict[str, Any], queries: int = 1) -> list[float]:
    """The metric's values of the last minutes."""
    now = datetime.now(UTC)
    wanted = [{"Id": f"q{number}", "MetricStat": {"Metric": asked, "Period": 60, "Stat": "Maximum"}} for number in range(queries)]
    found = aws.client("cloudwatch", region).get_metric_data(
        MetricDataQueries=wanted, StartTime=now - timedelta(minutes=3), EndTime=now + timedelta(seconds=1)
    )
    return list(found["MetricDataResults"][0]["Values"])
