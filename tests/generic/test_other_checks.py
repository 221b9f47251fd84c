"""dns-check and metric-check: each shown holding and not holding; what cannot be asked is unknown, and unknown does not hold."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dr.engine.attempt import Attempted, attempt
from dr.errors import UsageError
from dr.model.words import Intent, Outcome
from dr.providers.generic.checks.dns_check import DnsCheck, DnsCheckConfig
from dr.providers.generic.checks.expect import holds, pointed
from dr.providers.generic.checks.metric_check import MetricCheck, MetricCheckConfig, Series, judge
from dr.providers.generic.checks.names import parsed
from tests.generic.served import Got, HttpServer, NameServer, World, context, facts, step_of

SECRET = "planted-31c0"
WEST = {"app.test": ("192.0.2.2",), "api.test": ("192.0.2.2",)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def once(kind: DnsCheck | MetricCheck) -> Attempted:
    step = step_of(kind)
    return attempt(step.operation, context(step))


# --- names ----------------------------------------------------------------------------------------------------------


def names_of(world: World, *servers: NameServer, **settings: object) -> DnsCheck:
    given: dict[str, object] = {
        "names": ["app.test", "api.test"], "resolvers": [item.server for item in servers], "timeout": "300ms",
        "addresses": {"east": ["192.0.2.1"], "west": ["192.0.2.2"]},
    }  # fmt: skip
    return DnsCheck("names", DnsCheckConfig.model_validate(given | settings), [], world.site)


def test_every_resolver_leads_every_name_to_the_target(world: World) -> None:
    """Both say the target's address: it holds. One name at one resolver that says otherwise: it does not."""
    with NameServer(dict(WEST)) as one, NameServer(dict(WEST)) as other:
        assert once(names_of(world, one, other)).outcome is Outcome.DONE
        other.names["api.test"] = ("192.0.2.1",)
        stale = once(names_of(world, one, other))
        other.names["api.test"] = ("192.0.2.1", "192.0.2.2")
        mixed = once(names_of(world, one, other))
    assert stale.outcome is mixed.outcome is Outcome.RETRY
    assert f"{other.server} leads api.test to 192.0.2.1, expected 192.0.2.2" in stale.reason


@pytest.mark.parametrize(("policy", "outcome"), [("all", Outcome.RETRY), ("any", Outcome.DONE)])
def test_a_silent_resolver(world: World, policy: str, outcome: Outcome) -> None:
    """``all``: it must answer. ``any``: the others are enough; but when none answers, nothing is known."""
    with NameServer(dict(WEST)) as one:
        with NameServer({}) as gone:
            pass
        result = once(names_of(world, one, gone, policy=policy))
    assert result.outcome is outcome
    alone = once(names_of(world, gone, policy="any"))
    assert alone.outcome is Outcome.RETRY
    assert gone.server in alone.reason


def test_any_does_not_mean_that_others_may_lead_elsewhere(world: World) -> None:
    """A resolver that answers with the old region is wrong under both policies."""
    with NameServer(dict(WEST)) as one, NameServer(dict.fromkeys(WEST, ("192.0.2.1",))) as old:
        assert once(names_of(world, one, old, policy="any")).outcome is Outcome.RETRY


def test_the_longest_ttl(world: World) -> None:
    """What may be cached for too long will be."""
    with NameServer(dict(WEST), ttl=300) as server:
        assert once(names_of(world, server, maximum_ttl="300s")).outcome is Outcome.DONE
        result = once(names_of(world, server, maximum_ttl="1m"))
    assert result.outcome is Outcome.RETRY
    assert "5m00s, at most 1m00s" in result.reason


def test_addresses_for_every_region(world: World) -> None:
    """Refused when the runbook is read."""
    with NameServer({}) as server, pytest.raises(UsageError, match="addresses: expected every region of the runbook; not there: west"):
        names_of(world, server, addresses={"east": ["192.0.2.1"]})
    with pytest.raises(ValueError, match="IP addresses"):
        DnsCheckConfig.model_validate({"names": ["a"], "resolvers": ["192.0.2.1"], "addresses": {"east": ["x"]}})


@pytest.mark.parametrize(
    ("text", "server"),
    [("192.0.2.1", "192.0.2.1:53"), ("192.0.2.1:5353", "192.0.2.1:5353"), ("2001:db8::1", "[2001:db8::1]:53"), ("[::1]:54", "[::1]:54")],
)
def test_servers_as_people_write_them(text: str, server: str) -> None:
    """Both families, with and without a port."""
    assert str(parsed(text, 53)) == server


@pytest.mark.parametrize("text", ["", "dns.example.com", "192.0.2.1:x", "192.0.2.1:0", "192.0.2.1:99999", "[::1"])
def test_servers_that_are_refused(text: str) -> None:
    """Names are not servers: whoever asks for names cannot start by asking for one."""
    with pytest.raises(ValueError, match="expected"):
        parsed(text, 53) if text != "[::1" else parsed("[::1]x", 53)


# --- metrics --------------------------------------------------------------------------------------------------------


class Prometheus:
    """Answers as documented: https://prometheus.io/docs/prometheus/latest/querying/api/"""

    def __init__(self, *series: list[object], missing: int = 0) -> None:
        self.series, self.missing, self.asked = series, missing, list[dict[str, list[str]]]()

    def __call__(self, got: Got) -> tuple[int, bytes]:
        parts = urlsplit(got.path)
        asked = parse_qs(parts.query)
        self.asked.append(asked)
        if "(" in asked["query"][0]:
            return 400, json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error: unclosed"}).encode()
        result: list[object] = []
        for number, values in enumerate(self.series):
            labels = {"__name__": "errors", "instance": str(number)}
            if parts.path.endswith("/query_range"):
                start, end, step = (float(asked[name][0]) for name in ("start", "end", "step"))
                times = [start + step * index for index in range(int((end - start) / step + 0.001) + 1)][self.missing :]
                points = [[at, str(values[index % len(values)])] for index, at in enumerate(times)]
                result.append({"metric": labels, "values": points})
            else:
                result.append({"metric": labels, "value": [1.0, str(values[0])]})
        kind = "matrix" if parts.path.endswith("/query_range") else "vector"
        return 200, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def metric(world: World, url: str, **settings: object) -> MetricCheck:
    given = {"query": "rate_of_errors", "expect": "< 0.01", "source": url, **settings}
    return MetricCheck("errors", MetricCheckConfig.model_validate(given), [], world.site)


@pytest.mark.parametrize(
    ("series", "settings", "why"),
    [
        ([[0.001]], {}, ""),
        ([[0.001], [0.5]], {}, "instance=1} was 0.5"),
        ([[0.001], [0]], {"window": "5m"}, ""),
        ([[0.001, 0.001, 0.2]], {"window": "5m"}, "was 0.2"),
        ([], {}, "no data: unknown"),
        ([], {"window": "5m"}, "no data: unknown"),
        ([["NaN"]], {}, "was NaN"),
        ([["+Inf"]], {}, "was +Inf"),
        ([[0.01]], {}, "was 0.01"),
        ([[0.01]], {"expect": "<= 0.01"}, ""),
    ],
)
def test_every_value_must_hold(world: World, series: list[list[object]], settings: dict[str, object], why: str) -> None:
    """All series, at all points of the window; nothing at all is unknown, never zero."""
    prometheus = Prometheus(*series)
    with HttpServer(prometheus) as server:
        result = once(metric(world, server.url, **settings))
    assert result.outcome is (Outcome.RETRY if why else Outcome.DONE), result.reason
    assert why in result.reason
    if "window" in settings:
        assert float(prometheus.asked[0]["end"][0]) - float(prometheus.asked[0]["start"][0]) == pytest.approx(300)


def test_a_window_that_is_not_covered_is_unknown(world: World) -> None:
    """A series that began half-way says nothing about the time before."""
    with HttpServer(Prometheus([0.001], missing=30)) as server:
        result = once(metric(world, server.url, window="5m"))
        covered = once(metric(world, server.url, window="5m", step="150s"))
    assert result.outcome is Outcome.RETRY
    assert "31 of 61 points: unknown" in result.reason
    assert covered.outcome is Outcome.RETRY, "all of its points are gone"


def test_one_point_at_the_edge_may_be_missing() -> None:
    """Servers that align the window to the step answer one point less; two are a gap."""
    assert judge([Series("a", ("1",) * 60)], "< 2", 61) == ""
    assert "59 of 61" in judge([Series("a", ("1",) * 59)], "< 2", 61)
    assert judge([Series("a", ())], "< 2", 61) == "no data: unknown"
    assert "b has 0 of 2" in judge([Series("a", ("1", "1")), Series("b", ())], "< 2", 2)


def test_each_region_may_have_its_own(world: World) -> None:
    """The target's is asked: the other one may be gone."""
    with HttpServer(Prometheus([0.0])) as west:
        sources = {"east": "http://127.0.0.1:1", "west": f"{west.url}/"}
        assert once(metric(world, "", source=None, sources=sources)).outcome is Outcome.DONE
    with pytest.raises(UsageError, match="east"):
        metric(world, "", source=None, sources={"west": "http://127.0.0.1:1"})


def test_a_query_that_is_wrong_is_not_tried_again(world: World) -> None:
    """Prometheus says 400: nothing but another runbook helps. What is no Prometheus may become one."""
    with HttpServer(Prometheus()) as server:
        wrong = once(metric(world, server.url, query="rate("))
    with HttpServer(lambda _got: (200, b"<html>")) as page:
        other = once(metric(world, page.url))
    assert wrong.outcome is Outcome.FAILED
    assert "parse error" in wrong.reason
    assert other.outcome is Outcome.RETRY


def test_a_token_is_sent_and_not_shown(world: World, tmp_path: Path) -> None:
    """I15."""
    (tmp_path / "token").write_text(SECRET)
    with HttpServer(Prometheus([0.0])) as server:
        kind = metric(world, server.url, headers={"Authorization": {"prefix": "Bearer ", "file": "token"}}, window="10s")
        result = once(kind)
        assert server.got[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in facts(result.evidence) + step_of(kind).spec.model_dump_json()
    assert "/api/v1/query_range" in step_of(kind, Intent.FAILOVER).spec.by_hand


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"expect": "0.01"}, "comparison"),
        ({"expect": "< many"}, "comparison"),
        ({"source": None}, "source"),
        ({"sources": {"east": "http://x"}}, "source"),
        ({"source": "prometheus:9090"}, "https://prometheus"),
        ({"window": "20m"}, "within"),
        ({"window": "1m", "step": "2m"}, "step"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, object], text: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(ValueError, match=text):
        MetricCheckConfig.model_validate({"query": "up", "expect": "> 0", "source": "http://x"} | settings)


# --- what is expected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "seen", "held"),
    [
        (5, 5, True), (5, 5.0, True), (5, "5", True), ("5", 5, True), (5, 6, False), ("ok", "ok", True), ("ok", "no", False),
        ("< 5", 4, True), ("< 5", 5, False), ("<= 5", 5, True), ("> 5", "5.1", True), ("!= 5", 5, False), ("!= failed", "done", True),
        ("== done", "done", True), ("< done", "a", False), ("> 0", float("nan"), False), ("!= 1", None, False), ("== 0", None, False),
        (True, True, True), (True, False, False), (0, False, False), ("true", True, True), ("< 5", float("inf"), False),
    ],
)  # fmt: skip
def test_comparisons(expected: str | float | bool, seen: object, held: bool) -> None:
    """Numbers as numbers, everything else equal or not; what is missing or no number holds nothing."""
    assert holds(expected, seen) is held


def test_json_pointers() -> None:
    """RFC 6901: escapes, lists, and what is not there."""
    document = {"a/b": [{"~": 1}], "": 2}
    assert pointed(document, "/a~1b/0/~0") == 1
    assert pointed(document, "/") == 2
    assert pointed(document, "") == document
    for gone in ("/x", "/a~1b/1", "/a~1b/-", "/a~1b/0/~0/deeper"):
        with pytest.raises(LookupError):
            pointed(document, gone)
