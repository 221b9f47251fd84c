"""One emulated AWS for the tests of the emulator, empty for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws.emulated.asking import EAST, WEST
from tests.aws.emulator import Emulator


@pytest.fixture(scope="session")
def started() -> Iterator[Emulator]:
    """One process for all of them."""
    with Emulator((WEST, EAST)) as made:
        made.control("warm_up", services=["rds", "s3", "route53", "iam", "sts", "dynamodb", "ecr", "ssm", "ec2", "awslambda"])
        yield made


@pytest.fixture
def aws(started: Emulator) -> Emulator:
    """Empty; every region is there."""
    started.reset()
    return started
