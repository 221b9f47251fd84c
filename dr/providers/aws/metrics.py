"""CloudWatch, asked in batches: everybody's questions of one region go into one call, and its answer serves all for a while.

A component registers its questions when it is made. The first one that wants an answer asks for all; a hundred components whose lag is a
metric cost one call a region and poll.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from dr.errors import StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.hub import Aws
from dr.providers.aws.place import Place

GET = Call("cloudwatch", "GetMetricData", plane="data")
"""Up to 500 questions a call; values newest first. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html"""

MOST = 500
"""Questions of one call, by the API's documentation; emulators take more, so it is held here."""
FRESH = timedelta(seconds=10)
"""An answer serves so long: most metrics have one value a minute."""
_BACK = timedelta(minutes=20)
"""So far back a value is looked for; metrics of S3 come late."""


class Question(NamedTuple):
    """One metric. dimensions: name and value, in the order of the page. seconds: the period. stat: Maximum, Average, Sum …"""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str = "Maximum"
    seconds: int = 60


@dataclass(frozen=True)
class Value:
    """The newest value of a metric, and the moment it speaks for (the end of its period)."""

    value: float
    at: datetime


class Metrics:
    """All questions of a platform. Threads may use it at once; one that asks holds up the others of its region, who want the same."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._questions: dict[Place, list[Question]] = {}
        self._answers: dict[Place, tuple[float, Mapping[Question, Value] | StepError]] = {}
        self._asked: dict[Place, frozenset[Question]] = {}
        self._locks: dict[Place, Lock] = {}
        self._lock = Lock()

    @classmethod
    def of(cls, aws: Aws) -> Metrics:
        """The platform's."""
        made = aws.site.shared.get("aws metrics")
        if made is None:
            made = aws.site.shared["aws metrics"] = cls(aws)
        assert isinstance(made, cls), "the word is ours"
        return made

    def register(self, place: Place, *questions: Question) -> None:
        """Asked from now on."""
        with self._lock:
            known = self._questions.setdefault(place, [])
            known += [question for question in questions if question not in known]
            self._locks.setdefault(place, Lock())

    def newest(self, place: Place, question: Question) -> Value | None:
        """The newest value; None where there is none in the last 20 minutes.

        Raises:
            StepError: the region's CloudWatch did not answer, now or within the last ten seconds.
        """
        self.register(place, question)
        clock = self._aws.site.clock
        with self._locks[place]:
            known = self._answers.get(place)
            now = clock.monotonic()
            if known is None or now - known[0] >= FRESH.total_seconds():
                known = self._answers[place] = (now, self._ask(place, frozenset()))
            elif question not in self._asked[place] and not isinstance(known[1], StepError):  # only what is new: others came first
                more = self._ask(place, self._asked[place])
                known = self._answers[place] = (known[0], more if isinstance(more, StepError) else {**known[1], **more})
        if isinstance(known[1], StepError):
            raise known[1]
        return known[1].get(question)

    def _ask(self, place: Place, known: frozenset[Question]) -> Mapping[Question, Value] | StepError:
        with self._lock:
            everything = tuple(self._questions[place])
        questions = [question for question in everything if question not in known]
        self._asked[place] = frozenset(everything)
        found: dict[Question, Value] = {}
        try:
            for first in range(0, len(questions), MOST):
                found |= self._batch(place, questions[first : first + MOST])
        except StepError as error:
            return error
        return found

    def _batch(self, place: Place, questions: Sequence[Question]) -> dict[Question, Value]:
        now = self._aws.site.clock.now()
        asked = {f"m{number}": question for number, question in enumerate(questions)}
        pages = self._aws.pages(
            place, GET, ScanBy="TimestampDescending", StartTime=now - _BACK, EndTime=now + timedelta(minutes=1),
            MetricDataQueries=[
                {
                    "Id": name,
                    "MetricStat": {
                        "Metric": {
                            "Namespace": item.namespace, "MetricName": item.name,
                            "Dimensions": [{"Name": key, "Value": value} for key, value in item.dimensions],
                        },
                        "Period": item.seconds, "Stat": item.stat,
                    },
                }
                for name, item in asked.items()
            ],
        )  # fmt: skip
        found: dict[Question, Value] = {}
        for page in pages:
            for result in page["MetricDataResults"]:
                question = asked[result["Id"]]
                if result["Values"] and question not in found:  # newest first, over all pages
                    ends = result["Timestamps"][0] + timedelta(seconds=question.seconds)
                    found[question] = Value(float(result["Values"][0]), min(ends, now))
        return found
