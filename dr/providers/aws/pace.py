"""How often an API may be called: one budget for each account, region and API, shared by all threads of the process."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from dr.errors import Transient
from dr.ports import Clock

PACES: Mapping[str, tuple[float, int]] = {
    "route53": (5.0, 5),
    "rds": (20.0, 40),
    "secretsmanager": (40.0, 80),
    "ecr": (50.0, 200),
    "ssm": (40.0, 80),
    "kms": (100.0, 200),
    "eks": (10.0, 20),
    "autoscaling": (10.0, 20),
    "service-quotas": (5.0, 5),
    "s3control": (10.0, 20),
    "acm": (10.0, 20),
    "iam": (10.0, 20),
    "lambda": (12.0, 15),
    "ec2": (10.0, 50),
    "cloudwatch": (40.0, 50),
    "cloudwatch DescribeAlarmsForMetric": (2.5, 20),
    "dynamodb": (100.0, 200),
    "s3": (100.0, 200),
    "sts": (100.0, 200),
}
"""By service, or by one operation of it that has a quota of its own: calls a second, and how many at once after a rest. Below what AWS
documents for the slowest operation that we use of each: whoever shares the account has to work, too.

* Route 53: 10 a second and 50 at once for a whole account; 5 of UpdateHealthCheck; until 2026 5 of everything, as in GovCloud still:
  https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/throttling-api-requests.html. Changes are counted, too: ``CHANGES``.
* Lambda: 15 a second for all of the control plane but GetFunction, not raised:
  https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
* EC2: each operation has a bucket of its own: 100 and 20 a second where it is asked with a filter or in pages, else 50 and 10:
  https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
* CloudWatch: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html; GetMetricData 50 a second,
  DescribeAlarms 9, DescribeAlarmsForMetric 3, which is not raised.

The others are from memory."""
CHANGES = (90.0, 1_400)
"""Of record sets in Route 53, a CREATE or a DELETE one, an UPSERT two: a second, and at once after a rest. AWS has 100 and 1,500 for a
whole account, however many calls they come in: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/throttling-api-requests.html"""
_OTHERS = (20.0, 40)


class Pace:
    """A bucket that fills evenly. Whoever comes first goes first, roughly."""

    def __init__(self, clock: Clock, rate: float, most: int) -> None:
        self._clock, self._rate, self._most = clock, rate, float(most)
        self._left, self._at = float(most), clock.monotonic()
        self._lock = Lock()

    def take(self, until: float | None = None, count: int = 1) -> None:
        """Waits for its turn.

        Args:
            count: so much is used up; at most what there is after a rest.
            until: ``clock.monotonic()`` value by which the turn must have come; None: as long as it takes.

        Raises:
            Transient: it would come later; nothing was called.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
            self._at = now
            wait = self._wait(count)
            if wait and until is not None and now + wait > until:
                raise Transient(f"the budget of {self._rate:g} calls a second is used up", hint="wait a moment")
            self._left -= count  # may be in debt: those who come later wait longer
        if wait:
            self._clock.sleep(wait)

    def give_back(self, count: int) -> None:
        """What was taken was not used."""
        with self._lock:
            self._left = min(self._most, self._left + count)

    def _wait(self, count: int) -> float:
        return max(0.0, (count - self._left) / self._rate)


class Paces:
    """All budgets of a process. One of an account is one for all its regions where the API is one for all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[tuple[str, str, str], Pace] = {}
        self._lock = Lock()

    def of(self, account: str, region: str, service: str, operation: str = "") -> Pace:
        """The budget of an API, or of an operation that has its own."""
        with self._lock:
            own = f"{service} {operation}"
            key = (account, region, own if own in PACES else service)
            if key not in self._all:
                self._all[key] = Pace(self._clock, *PACES.get(key[2], _OTHERS))
            return self._all[key]
