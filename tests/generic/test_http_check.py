"""http-check: what answers as expected passes, everything else says what was seen, and no secret is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dr.engine.attempt import attempt
from dr.errors import UsageError
from dr.lab.credentials import Authority
from dr.lab.layout import Layout
from dr.model.words import Intent, Outcome, Severity, Verb
from dr.providers.generic.checks.http_check import HttpCheck, HttpCheckConfig
from tests.generic.served import CLOCK, HttpServer, NameServer, World, context, facts, says, slowly, step_of

SECRET = "planted-77ab"
NAME = "app.example.test"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A certificate for NAME; the authority is in secrets/ca.pem."""
    (tmp_path / "secrets").mkdir()
    Authority.create(Layout(tmp_path, tmp_path), CLOCK.now()).issue(tmp_path / "tls", [NAME])
    return tmp_path / "tls" / f"{NAME}.pem"


def check(world: World, **settings: object) -> HttpCheck:
    return HttpCheck("smoke", HttpCheckConfig.model_validate({"timeout": "2s", **settings}), [], world.site)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, ""),
        ({"status": [204]}, "status 200, expected 204"),
        ({"status": [204, 200]}, ""),
        ({"contains": "west"}, ""),
        ({"contains": "north"}, "does not contain 'north'"),
        ({"equals": {"/region": "{target}", "/up": True, "/list/1/n": 2}}, ""),
        ({"equals": {"/region": "east"}}, "another value at /region than 'east'"),
        ({"equals": {"/up": 1}}, "another value at /up than 1"),
        ({"equals": {"/list/7": 1}}, "nothing at /list/7"),
        ({"equals": {"/region/x": 1}}, "nothing at /region/x"),
    ],
)
def test_an_answer_is_held_against_every_expectation(world: World, settings: dict[str, object], why: str) -> None:
    """Status, text and JSON values; a refusal names the one that was not met, and is worth another try."""
    with HttpServer(says({"region": "west", "up": True, "list": [{}, {"n": 2.0}]})) as server:
        step = step_of(check(world, urls=[f"{server.url}/health"], **settings))
        result = attempt(step.operation, context(step))
    assert result.outcome is (Outcome.RETRY if why else Outcome.DONE)
    assert why in result.reason
    assert bool(result.evidence) is not bool(why)


def test_all_urls_must_answer(world: World) -> None:
    """One of three that fails is enough, and it is named."""
    with HttpServer(lambda got: (500 if got.path == "/b" else 200, b"")) as server:
        step = step_of(check(world, urls=[f"{server.url}/{path}" for path in "abc"]))
        result = attempt(step.operation, context(step))
        assert sorted(got.path for got in server.got) == ["/a", "/b", "/c"]
    assert result.outcome is Outcome.RETRY
    assert "/b: status 500" in result.reason


def test_nobody_there_is_worth_another_try(world: World) -> None:
    """A refused connection and a silent server are not yet, never blocked."""
    with HttpServer(says({})) as server:
        gone = server.url
    step = step_of(check(world, urls=[gone]))
    refused = attempt(step.operation, context(step))
    assert refused.outcome is Outcome.RETRY
    assert "no connection" in refused.reason
    with HttpServer(slowly(0.4)) as slow:
        step = step_of(check(world, urls=[slow.url], timeout="100ms"))
        result = attempt(step.operation, context(step))
    assert result.outcome is Outcome.RETRY
    assert "no whole answer within 0.1s" in result.reason


def test_looks_in_a_row(world: World) -> None:
    """Three must hold one after the other; one that does not starts over."""
    codes = iter([200, 200, 503, 200, 200, 200])
    with HttpServer(lambda _got: (next(codes), b"")) as server:
        step = step_of(check(world, urls=[server.url], successes=3, every="10ms"))
        assert attempt(step.operation, context(step)).outcome is Outcome.RETRY
        assert attempt(step.operation, context(step)).outcome is Outcome.DONE
        assert len(server.got) == 6


def test_inside_asks_the_targets_address_under_the_public_name(world: World, pem: Path) -> None:
    """SNI and Host are the name's, the socket goes to the target; the certificate is verified for the name."""
    with HttpServer(says({}), address="127.0.0.3", pem=pem) as server:
        settings: dict[str, object] = {
            "urls": [f"https://{NAME}/health"], "route": "inside", "certificate_authority": "secrets/ca.pem",
            "addresses": {"east": "127.0.0.2", "west": f"127.0.0.3:{server.port}"},
        }  # fmt: skip
        step = step_of(check(world, **settings))
        assert attempt(step.operation, context(step)).outcome is Outcome.DONE
        assert server.got[0].headers["Host"] == NAME
        other = step_of(check(world, **{**settings, "urls": ["https://other.example.test/health"]}))
        refused = attempt(other.operation, context(other))
        public = step_of(check(world, **{**settings, "certificate_authority": None}))
        untrusted = attempt(public.operation, context(public))
    assert refused.outcome is untrusted.outcome is Outcome.RETRY
    assert "Hostname mismatch" in refused.reason
    assert "certificate verify failed" in untrusted.reason


def test_outside_follows_the_name(world: World) -> None:
    """The resolvers of the runbook say where the name leads; every address that a client may be given must answer."""
    with HttpServer(says({}), address="127.0.0.3") as server, NameServer({NAME: ("127.0.0.3",)}) as names:
        settings: dict[str, object] = {"urls": [f"http://{NAME}:{server.port}/"], "resolvers": [names.server]}
        step = step_of(check(world, **settings))
        assert attempt(step.operation, context(step)).outcome is Outcome.DONE
        assert server.got[0].headers["Host"] == f"{NAME}:{server.port}"
        names.names[NAME] = ("127.0.0.3", "127.0.0.4")
        mixed = attempt(step.operation, context(step))
        names.names.clear()
        unknown = attempt(step.operation, context(step))
    assert mixed.outcome is unknown.outcome is Outcome.RETRY
    assert "127.0.0.4" in mixed.reason
    assert "NXDOMAIN" in unknown.reason


def test_headers_may_be_secrets_and_are_never_shown(world: World, tmp_path: Path) -> None:
    """The value reaches the server and nothing else (I15): not even where it cannot be sent."""
    (tmp_path / "token").write_text(SECRET + "\n")
    headers = {"Authorization": {"prefix": "Bearer ", "file": "token"}, "X-Plain": "yes"}
    with HttpServer(says({}, 403)) as server:
        step = step_of(check(world, urls=[server.url], headers=headers))
        result = attempt(step.operation, context(step))
        assert server.got[0].headers["Authorization"] == f"Bearer {SECRET}"
        assert server.got[0].headers["X-Plain"] == "yes"
        assert result.outcome is Outcome.RETRY
        (tmp_path / "token").write_text(f"{SECRET}\nsecond line\n")
        broken = attempt(step.operation, context(step))
    assert broken.outcome is Outcome.FAILED
    assert "cannot be made" in broken.reason
    everything = step.spec.model_dump_json() + result.reason + broken.reason + facts(result.evidence + broken.evidence)
    assert SECRET not in everything
    assert f"$(cat {tmp_path}/token)" in step.spec.by_hand


def test_what_is_not_there_is_known_before_the_day(world: World) -> None:
    """A missing credential or authority is a finding; where the check is optional, a warning."""
    settings: dict[str, object] = {
        "urls": ["https://app.example.test"], "headers": {"A": {"file": "no-token"}}, "certificate_authority": "no-ca.pem",
    }  # fmt: skip
    found = check(world, **settings).view().findings
    assert [item.severity for item in found] == [Severity.ERROR, Severity.ERROR]
    assert "no-ca.pem" in found[0].fact and "no-token" in found[1].fact
    assert {item.severity for item in check(world, **settings, optional=True).view().findings} == {Severity.WARNING}
    step = step_of(check(world, **settings))
    assert attempt(step.operation, context(step)).outcome is Outcome.FAILED


def test_a_pause_or_cancel_ends_it_between_two_looks(world: World) -> None:
    """Nobody waits for a check that is repeated: it says how far it was."""
    with HttpServer(says({})) as server:
        step = step_of(check(world, urls=[server.url], successes=2, every="1h"))
        paused = attempt(step.operation, context(step, pausing=lambda: True))
        cancelled = attempt(step.operation, replace(context(step), cancelled=lambda: bool(server.got)))
    assert paused.outcome is Outcome.RETRY
    assert "1 of 2" in paused.reason
    assert cancelled.outcome is Outcome.CANCELLED


def test_the_step_in_the_plan(world: World) -> None:
    """Its place is the runbook's to say: verb, region, budget and what a person would type."""
    kind = check(world, urls=["https://app.example.test/x"], within="7m", optional=True, intents=["failback"])
    assert kind.steps(Intent.FAILOVER, "east", "west") == ()
    spec = step_of(kind, Intent.FAILBACK).spec
    assert (spec.verb, spec.region, spec.budget, spec.optional) == (Verb.CHECK, "west", timedelta(minutes=7), True)
    assert "curl -sS" in spec.by_hand and "https://app.example.test/x" in spec.by_hand
    assert spec.touches and spec.check_by_hand == spec.by_hand


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "urls"),
        ({"urls": []}, "urls"),
        ({"urls": ["ftp://x"]}, "https://app.example.com"),
        ({"urls": ["https://user:pass@x"]}, "without user"),
        ({"urls": ["http://x"], "route": "inside"}, "addresses"),
        ({"urls": ["http://x"], "addresses": {"east": "10.0.0.1"}}, "inside"),
        ({"urls": ["http://x"], "route": "inside", "addresses": {"east": "nowhere", "west": "10.0.0.1"}}, "192.0.2.1"),
        ({"urls": ["http://x"], "equals": {"region": 1}}, "JSON pointer"),
        ({"urls": ["http://x"], "successes": 0}, "successes"),
        ({"urls": ["http://x"], "redirect": True}, "redirect"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, object], text: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(ValueError, match=text):
        HttpCheckConfig.model_validate(settings)


def test_inside_needs_every_region(world: World) -> None:
    """Refused when the runbook is read."""
    with pytest.raises(UsageError, match="west"):
        check(world, urls=["http://x"], route="inside", addresses={"east": "10.0.0.1"})
