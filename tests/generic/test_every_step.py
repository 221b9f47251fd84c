"""Every operation says what it touches, what it needs to be allowed, and what a person would type instead of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.app import App
from dr.app.by_hand import unseen
from dr.model.plan import StepSpec
from dr.model.words import Intent
from dr.providers.registry import BUILT_IN

ROOT = Path(__file__).parents[2]
SAID = ("touches", "permissions", "by_hand", "check_by_hand", "estimate", "budget")
_NOBODY = {"touches", "permissions"}
NOTHING_THERE = {"said-yes": _NOBODY, "attested": _NOBODY, "passed": _NOBODY, "blind": {"check_by_hand"}}
"""A person's word and time call nobody; a command that its runbook gives no check has none (``dr runbook check`` says so)."""

REST = """
  said-yes: {kind: approval, text: go on?, intents: [failover, switchover, failback, reprotect]}
  attested: {kind: gate, text: is it there?}
  passed: {kind: wait, duration: 1s}
  called: {kind: command, run: [scripts/call, "{target}"], check: [scripts/called]}
  blind: {kind: command, run: [scripts/call]}
  counted: {kind: sql-check, needs: [metadata-db], database: metadata-db, query: select 1, value: "== 1", intents: [failover, reprotect]}
  named: {kind: dns-check, names: [a.dr.test], resolvers: [192.0.2.1], addresses: {east: [192.0.2.2], west: [192.0.2.3]}}
  measured: {kind: metric-check, query: up, expect: "== 1", source: "https://prometheus.example", headers: {Authorization: {env: A_TOKEN}}}
  held: {kind: soak, checks: [smoke, named, measured], duration: 10s}
  pools: {kind: restart, regions: {east: {run: [restart, pool]}, west: {run: [restart, pool]}}}
"""


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """The whole platform of the lab, and a component of every kind that it does without."""
    path = tmp_path / "everything.yaml"
    path.write_text((ROOT / "runbooks/platform.yaml").read_text() + REST)
    return path


def specs(runbook: Path, state: Path) -> Iterator[tuple[str, StepSpec]]:
    """Every step of every intent, both ways, with words that say which; nothing is connected."""
    app = App(state)
    platform = app.load(runbook)
    try:
        for intent in Intent:
            for source, target in (("east", "west"), ("west", "east")):
                for spec in unseen(platform, intent, source, target).steps:
                    yield f"{intent} to {target}: {spec.id}", spec
    finally:
        platform.close()
        app.close()


def silent(spec: StepSpec) -> set[str]:
    """What a step does not say."""
    return {name for name in SAID if not getattr(spec, name)}


@pytest.mark.parametrize("name", ["lab", "platform"])
def test_every_step_of_our_runbooks_says_everything(name: str, tmp_path: Path) -> None:
    """No exception is needed there; all four intents, both ways."""
    found = dict(specs(ROOT / f"runbooks/{name}.yaml", tmp_path / "state"))
    assert len({where.partition(" ")[0] for where in found}) == len(Intent)
    assert {where: silent(spec) for where, spec in found.items() if silent(spec)} == {}


def test_every_step_of_every_kind_says_everything(everything: Path, tmp_path: Path) -> None:
    """Each built-in kind has a step here; only who calls nobody touches nothing, and those exceptions are no wider than they must be."""
    found = dict(specs(everything, tmp_path / "state"))
    assert {spec.kind for spec in found.values()} == set(BUILT_IN)
    wrong = {where: silent(spec) for where, spec in found.items() if silent(spec) != NOTHING_THERE.get(spec.component, set())}
    assert wrong == {}


def test_regions_and_words_of_what_is_read(everything: Path, tmp_path: Path) -> None:
    """Certificates: files where they lie and the list of names; a soak: all that its checks ask; a failover nothing of the lost region."""
    found = dict(specs(everything, tmp_path / "state"))

    def touched(where: str) -> set[tuple[str, str]]:
        return {(touch.service, touch.region) for touch in found[where].touches}

    assert touched("failover to west: certificates/prepare") == {("certificate files", "west"), ("database", "west")}
    assert touched("reprotect to west: certificates/prepare") == {("certificate files", "east"), ("database", "west")}
    assert touched("failover to west: smoke/check") == {("http", "west"), ("dns", "west")}
    assert touched("failover to west: held/check") == {("http", "west"), ("dns", "west"), ("prometheus", "west")}
    allowed = " ".join(found["failover to west: held/check"].permissions)
    assert "GET from quiet-comet-001.api.dr.test:18443" in allowed and "192.0.2.1:53" in allowed and "header Authorization" in allowed
    ours = [spec for where, spec in found.items() if where.startswith("failover to west") and spec.component in ("certificates", "smoke")]
    assert {touch.region for spec in ours for touch in spec.touches} == {"west"}
