"""The kind ``metric-check``: a Prometheus query holds, now or at every point of a window. No data is unknown, and unknown does not hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import ClassVar, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from dr.errors import Permanent, Transient
from dr.model.base import Duration, Frozen, Json, show_duration
from dr.model.runbook import KindConfig
from dr.ports import AttemptContext, Site
from dr.providers.generic.checks import by_hand
from dr.providers.generic.checks.base import Check, CheckConfig, Headers
from dr.providers.generic.checks.expect import NumberComparison, holds
from dr.providers.generic.checks.web import Request, Web
from dr.providers.regions import same_regions

_POINTS = 60
_SHORTEST_STEP = timedelta(seconds=1)
_SHOWN = 3


class MetricCheckConfig(CheckConfig):
    """Settings of ``metric-check``. Every series that the query finds must hold."""

    query: str = Field(min_length=1, description="PromQL")
    expect: NumberComparison = Field(description='what every value must be, for example "< 0.01"')
    source: str | None = Field(None, description="URL of a Prometheus that sees all regions, up to before /api/v1")
    sources: dict[str, str] = Field({}, description="region: URL, where each region has its own; the target's is asked")
    window: Duration = Field(timedelta(0), description="it must have held at every point so far back; 0: now")
    step: Duration | None = Field(None, description="time between two points of the window; default: a sixtieth of it, at least 1s")
    headers: Headers = Field({}, description='name: text, or {prefix: "Bearer ", file: PATH} or {env: NAME} for a secret')
    certificate_authority: str | None = Field(None, description="PEM file to trust, and nothing else; default: what this machine trusts")
    within: Duration = Field(timedelta(minutes=15), description="for so long it is tried again; then the step has failed")

    @field_validator("source", "sources")
    @classmethod
    def _urls(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for url in value.values() if isinstance(value, dict) else [] if value is None else [value]:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
                raise ValueError("expected a URL such as https://prometheus.example.com, without user and password")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.source is None) == (not self.sources):
            raise ValueError("expected exactly one of source or sources")
        if self.within <= self.window:
            raise ValueError("within: expected longer than window, which must pass after the outage before it can hold")
        if self.step is not None and not timedelta(0) < self.step <= self.window:
            raise ValueError("step: expected longer than 0 and at most window")
        return self

    @property
    def resolution(self) -> timedelta:
        """Time between two points of the window."""
        return self.step or max(_SHORTEST_STEP, self.window / _POINTS)


class _Result(Frozen, extra="ignore"):
    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    values: tuple[tuple[float, str], ...] = ()


class _Said(Frozen, extra="ignore"):
    """What Prometheus answers: https://prometheus.io/docs/prometheus/latest/querying/api/"""

    status: str
    error: str = ""
    warnings: tuple[str, ...] = ()
    data: Json = None


class Series(NamedTuple):
    """One series: its labels, and the values at the points where it has some."""

    name: str
    values: tuple[str, ...]


def series(data: Json) -> list[Series]:
    """The series of an answer's ``data``: a vector, a matrix or a scalar.

    Raises:
        ValueError: something else.
    """
    if not isinstance(data, dict):
        raise ValueError("no data in the answer")
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar" and isinstance(result, list) and len(result) == 2:
        return [Series("scalar", (str(result[1]),))]
    if kind not in ("vector", "matrix") or not isinstance(result, list):
        raise ValueError("the query gives neither numbers nor series")
    found = [_Result.model_validate(item) for item in result]
    return [Series(_named(item.metric), tuple(value for _, value in ((item.value,) if item.value else item.values))) for item in found]


def judge(found: Sequence[Series], expect: str, points: int) -> str:
    """What does not hold; empty where everything does. A series with points missing is unknown there: one at the edge may be."""
    if not found or not any(item.values for item in found):
        return "no data: unknown"
    wrong = []
    for item in found:
        bad = [value for value in item.values if not holds(expect, value)]
        if bad:
            wrong.append(f"{item.name} was {bad[-1]}" + (f" and {len(bad) - 1} more times wrong" if len(bad) > 1 else ""))
        elif len(item.values) < points - 1 or not item.values:
            wrong.append(f"{item.name} has {len(item.values)} of {points} points: unknown")
    more = f" and {len(wrong) - _SHOWN} more series" if len(wrong) > _SHOWN else ""
    return "; ".join(wrong[:_SHOWN]) + more + f", expected {expect}" if wrong else ""


class MetricCheck(Check):
    """A metric is as it should be: errors are rare again, queues drain, tasks succeed."""

    kind: ClassVar[str] = "metric-check"
    Config: ClassVar[type[KindConfig]] = MetricCheckConfig
    service: ClassVar[str] = "prometheus"

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, MetricCheckConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config
        if config.sources:
            same_regions(name, config.sources, site, "sources")
        self._web = Web(self.file(config.certificate_authority), site.clock)

    def look(self, context: AttemptContext) -> str:
        """Asks once. Raises Transient: it does not hold, there is no data, or nobody answers."""
        config = self._config
        url = self._url(context.target)
        answer = self._web.look(Request(url, config.timeout, headers=self.headers(config.headers), shown=self._base(context.target)))
        try:
            said = _Said.model_validate_json(answer.body)
            found = series(said.data) if said.status == "success" else []
        except (ValidationError, ValueError):
            raise Transient(f"{self._base(context.target)}: status {answer.status}, and no answer of a Prometheus") from None
        if said.status != "success":
            text = f"{self._base(context.target)}: {said.error or answer.status}"
            raise Permanent(text, hint=f"change query of {self.name} in the runbook") if answer.status == 400 else Transient(text)
        points = 1 + int(config.window / config.resolution) if config.window else 1
        wrong = judge(found, config.expect, points)
        partial = f" (warned: {said.warnings[0]})" if said.warnings else ""
        if wrong:
            raise Transient(f"{self.name}: {wrong}{partial}")
        over = f" for {show_duration(config.window)}" if config.window else ""
        return f"{len(found)} series {config.expect}{over}, newest {found[0].values[-1]}{partial}"

    def _base(self, target: str) -> str:
        return (self._config.source or self._config.sources[target]).rstrip("/")

    def _url(self, target: str) -> str:
        config = self._config
        asked: dict[str, str] = {"query": config.query, "timeout": f"{max(1, round(config.timeout.total_seconds()))}s"}
        if not config.window:
            return f"{self._base(target)}/api/v1/query?{urlencode(asked)}"
        now = self.site.clock.now().timestamp()
        asked |= {
            "start": f"{now - config.window.total_seconds():.3f}", "end": f"{now:.3f}", "step": f"{config.resolution.total_seconds():.3f}",
        }  # fmt: skip
        return f"{self._base(target)}/api/v1/query_range?{urlencode(asked)}"

    def title(self, target: str) -> str:
        """The expectation, and for how long."""
        over = f" for {show_duration(self._config.window)}" if self._config.window else ""
        return f"{self._config.query} {self._config.expect}{over}"

    def permissions(self, target: str) -> tuple[str, ...]:
        """To query; with which credential, where one is named."""
        return (f"to query {self._base(target)} from where dr runs", *self.header_permissions(self._config.headers))

    def by_hand(self, source: str, target: str) -> str:
        """curl and jq, over the same window."""
        config = self._config
        words = [*by_hand.curl(self.site.base, config.headers, config.certificate_authority, config.timeout), "-G"]
        words += ["--data-urlencode", shlex.quote(f"query={config.query}")]
        if config.window:
            seconds = round(config.window.total_seconds())
            words += ["-d", f"start=$(($(date +%s) - {seconds}))", "-d", "end=$(date +%s)"]
            words += ["-d", f"step={config.resolution.total_seconds():g}"]
        url = f"{self._base(target)}/api/v1/query{'_range' if config.window else ''}"
        return by_hand.metric([*words, shlex.quote(url)], config.expect)

    def missing(self) -> Iterator[tuple[str, str]]:
        """The authority and the secrets of headers."""
        yield from self.missing_file("certificate_authority", self._config.certificate_authority)
        yield from self.missing_headers(self._config.headers)

    def warm(self, target: str) -> None:
        """Imports what the first request needs."""
        import httpx  # noqa: F401  # 130 ms that a run need not wait for


def _named(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) + "}" if labels else "the value"
