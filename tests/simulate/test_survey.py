"""Statistics over stories made by hand: percentiles, shares, sums of parts, what hurts; and flaws of runbooks that have them."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dr.app.by_hand import unseen
from dr.app.simulation import Studio
from dr.model.simulation import Flaw
from dr.model.words import Intent
from dr.simulate import survey
from dr.simulate.flaws import flaws
from dr.simulate.outcome import Broken, Record

ROOT = Path(__file__).parents[2]
PLAIN = Record(
    number=0, seed="1", plot="lost", faults=(), completed=True, rta=60_000, rpa=2_000, rto_met=True, rpo_met=True, told_unknown=False,
    over_rpo=(), path=("db/promote",), guards=(), decisions=(), waited=(), violation=None,
)  # fmt: skip


def story(number: int, **fields: Any) -> Record:
    return PLAIN._replace(number=number, seed=str(number + 1), **fields)


def some(count: int) -> list[Record]:
    """Stories of all sorts."""
    chance = random.Random(7)
    found = []
    for number in range(count):
        rta = None if chance.random() < 0.1 else chance.randrange(1, 4_000_000)
        faults = tuple((name, name.partition("-")[0]) for name in ("calls-slow", "network-cut", "calls-lost") if chance.random() < 0.3)
        broken = Broken("I4", "promoted without evidence", 3.0) if chance.random() < 0.05 else None
        found.append(
            story(
                number, plot=chance.choice(("lost", "planned")), faults=faults, completed=rta is not None, rta=rta, rpa=rta,
                rto_met=rta is not None and rta < 3_600_000 and broken is None, rpo_met=chance.random() < 0.8 and rta is not None,
                guards=(("fence", chance.randrange(1, 4)),), decisions=("fence",) * chance.randrange(3), violation=broken,
                told_unknown=chance.random() < 0.5, waited=(("gate/approval", chance.randrange(1000)),), over_rpo=("db",),
            )
        )  # fmt: skip
    return found


def test_percentiles_are_the_nearest_rank() -> None:
    """Of the known ones; unknown is counted for itself and is never a zero."""
    counts = Counter({number * 1000: 1 for number in range(1, 101)} | {-1: 7})
    found = survey.distribution(counts)
    assert (found.known, found.unknown) == (100, 7)
    assert (found.p50_seconds, found.p95_seconds, found.p99_seconds, found.worst_seconds) == (50.0, 95.0, 99.0, 100.0)
    assert survey.distribution(Counter({5000: 1, 9000: 1})).p50_seconds == 5.0
    assert survey.distribution(Counter({5000: 2, 9000: 1})).p99_seconds == 9.0
    nothing = survey.distribution(Counter({-1: 3}))
    assert (nothing.known, nothing.unknown, nothing.p50_seconds, nothing.worst_seconds) == (0, 3, None, None)


def test_values_keep_four_digits() -> None:
    """A million stories have ten thousand values."""
    assert [survey.short(value) for value in (0, 7, 9999, 12_345, 1_234_567)] == [0, 7, 9999, 12_340, 1_235_000]


def everything(found: survey.Tally) -> object:
    command = {str(number): f"dr simulate x --seed {number}" for number in range(1000)}
    return (
        survey.share(found, "group", "all"), survey.plots(found), survey.groups(found), survey.critical_steps(found), survey.faults(found),
        survey.guards(found), survey.decisions(found), survey.worst(found, command), survey.violations(found, command, {}),
        survey.histogram(found.values["rta", "group", "all"]), survey.values(found, "waited", "gate/approval"), found.violations,
    )  # fmt: skip


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_sums_of_shards_are_the_whole(parts: int) -> None:
    """Whoever counted which stories, and whichever part arrives first; after a way through another process, too."""
    records = some(300)
    whole, sum_ = survey.tally(records), survey.Tally()
    for part in reversed(range(parts)):
        sum_.merge(pickle.loads(pickle.dumps(survey.tally(records[part::parts]))))
    assert sum_.stories == 300
    assert everything(sum_) == everything(whole)


def test_shares() -> None:
    """By plot and group; a story belongs to each group of its faults, one without any to a group of its own."""
    found = survey.tally([
        story(0), story(1, plot="planned", rpo_met=False), story(2, faults=(("calls-slow", "calls"), ("calls-lost", "calls"))),
        story(3, faults=(("calls-slow", "calls"), ("network-cut", "network")), completed=False, rta=None, rpa=None, rto_met=False,
              rpo_met=False, path=()),
    ])  # fmt: skip
    groups = {item.group: item for item in survey.groups(found)}
    assert list(groups) == ["all", "none", "calls", "network"]
    assert {name: item.share.stories for name, item in groups.items()} == {"all": 4, "none": 2, "calls": 2, "network": 1}
    everyone = groups["all"].share
    assert (everyone.completed, everyone.within_rto, everyone.within_rpo, everyone.within_both) == (3, 3, 2, 2)
    assert groups["network"].rta.unknown == 1 and groups["network"].rta.worst_seconds is None
    assert [(item.plot, item.share.stories, item.share.within_both) for item in survey.plots(found)] == [("lost", 3, 2), ("planned", 1, 0)]
    (step,) = survey.critical_steps(found)
    assert (step.step, step.stories, step.of, step.share) == ("db/promote", 3, 3, 1.0)


def test_what_hurts_is_compared_within_a_plot() -> None:
    """A fault that strikes only where moves take long anyway is not to blame for that."""
    hurts, harmless = (("calls-slow", "calls"),), (("data-old", "data"),)
    records = [story(number, plot="planned", rta=2_000) for number in range(20)]
    records += [story(20 + number, plot="planned", rta=5_000, faults=hurts, rto_met=number > 0) for number in range(5)]
    records += [story(30 + number, rta=100_000) for number in range(10)]
    records += [story(40 + number, rta=100_000, faults=harmless) for number in range(6)]
    records += [story(50, rta=900_000, faults=(("clock-off", "clock"),), rto_met=False)]
    slow, old, rare = survey.faults(survey.tally(records))
    assert (slow.fault, slow.stories, slow.rta_difference_seconds) == ("calls-slow", 5, 3.0)
    assert (slow.missed_with, slow.missed_without) == (0.2, 0.0)
    assert (old.fault, old.rta_difference_seconds, old.missed_with) == ("data-old", -72.727, 0.0)  # the rare one is among those without it
    assert rare.fault == "clock-off", "of one story nothing can be said, so it comes last"


def test_the_worst_stories() -> None:
    """A violation before what did not end, that before what missed an objective, then by time; five, each with its command."""
    broken = story(3, violation=Broken("I1", "two primaries", 12.5), rto_met=False, rpo_met=False)
    stuck = story(4, completed=False, rta=None, rpa=None, rto_met=False, rpo_met=False)
    lost = story(5, rpa=400_000, rpo_met=False, over_rpo=("db",), over_by_lag=("db",))
    records = [*(story(10 + number, rta=1000 * number) for number in range(9)), lost, stuck, broken]
    found = survey.tally(records)
    command = {item.seed: f"tell {item.seed}" for item in records}
    worst = survey.worst(found, command)
    assert [item.seed for item in worst] == ["4", "5", "6", "19", "18"]
    assert [item.why for item in worst[:4]] == [
        "violation of I1", "the move did not come to its end", "RPO missed: db", "within both objectives",
    ]  # fmt: skip
    assert worst[2].command == "tell 6"
    (violation,) = survey.violations(found, command, {"4": survey.Shorter(("calls-slow",), "first this, then that")})
    assert (violation.enough, violation.told) == (("calls-slow",), "first this, then that")
    assert (violation.rule, violation.seed, violation.at_seconds, violation.text) == ("I1", "4", 12.5, "two primaries")


def test_what_people_had_to_do() -> None:
    """Stories and times are different numbers."""
    found = survey.tally([story(0, guards=(("fence", 3),), decisions=("fence", "fence")), story(1, guards=(("exposure", 1), ("fence", 1)))])
    assert [(item.guard, item.stories, item.times) for item in survey.guards(found)] == [("fence", 2, 4), ("exposure", 1, 1)]
    assert [(item.decision, item.stories, item.times) for item in survey.decisions(found)] == [("fence", 1, 2)]


def test_the_histogram_holds_every_known_story() -> None:
    """From the first bar with anything in it to the last; each begins where the one before ends."""
    bars = survey.histogram(Counter({100: 1, 2_000: 4, 90_000: 2, 10**9: 1, -1: 5}))
    assert sum(bar.stories for bar in bars) == 8
    assert bars[0].from_seconds == 0.0 and bars[0].stories == 1 and bars[-1].stories == 1
    assert all(one.to_seconds == other.from_seconds for one, other in pairwise(bars))
    assert survey.histogram(Counter({-1: 2})) == ()


# --- flaws ------------------------------------------------------------------------------------------------------------


def found_in(folder: Path, text: str, records: list[Record]) -> list[Flaw]:
    """The flaws of a runbook."""
    path = folder / "book.yaml"
    path.write_text(text)
    studio = Studio(path)
    try:
        plans = {intent: unseen(studio.real, intent, "east", "west") for intent in (Intent.FAILOVER, Intent.SWITCHOVER)}
        return list(flaws(studio.runbook, plans, survey.tally(records)))
    finally:
        studio.close()


WHOLE = (ROOT / "runbooks/platform.yaml").read_text()


def replaced(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_a_whole_runbook_has_no_flaw(tmp_path: Path) -> None:
    """The platform of the lab, with everything looked after."""
    assert found_in(tmp_path, WHOLE, [story(0)]) == []


FLAWED: dict[str, tuple[list[tuple[str, str]], list[Record], str, str]] = {
    "no-fence": (
        [("east: {host: {exec: [../lab-state/east/exec]}}", "east: {}")], [story(0, guards=(("fence", 1),)), story(1)],
        "metadata-db", "hosts of east",
    ),
    "unverified-names": (
        [("    needs: [deployments]\n    zone:", "    zone:")], [story(0, completed=False)], "dns", "before anybody saw it take a write",
    ),
    "unchecked-need": (
        [("needs: [metadata-db, secrets, images, task-logs, certificates]", "needs: [metadata-db, secrets, task-logs, certificates]")],
        [story(0, guards=(("prerequisites", 1),))], "deployments", "images",
    ),
    "nobody-approves": (
        [("objectives:", "approvals: {failover: 1}\nobjectives:")], [story(0, waited=(("approvals/1", 600_000),))], "approvals",
        "until somebody wakes up",
    ),
    "over-budget": ([("{rto: 1h, rpo: 15m}", "{rto: 1s, rpo: 15m}")], [story(0, rto_met=False)], "", "by its estimates"),
    "tight-rpo": ([("rpo: 5m", "rpo: 1s")], [story(0, over_rpo=("metadata-db",), over_by_lag=("metadata-db",))], "metadata-db",
                  "behind by more than that"),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAWED)
def test_each_flaw_is_found_where_it_is(name: str, tmp_path: Path) -> None:
    """And only that one; explained, with what would mend it, and held against the stories."""
    changes, records, component, words = FLAWED[name]
    found = found_in(tmp_path, replaced(WHOLE, *changes), records)
    assert {item.name for item in found} == {name}
    flaw = found[0]
    assert words in flaw.text and flaw.fix
    assert component in ("", flaw.component)
    assert (flaw.stories, flaw.of) == (1, len(records))
    assert (flaw.lost_seconds == 600.0) is (name == "nobody-approves")


def test_what_a_split_loses_is_not_blamed_on_replication(tmp_path: Path) -> None:
    """The old primary took writes after the disaster; replication was not behind by more than the RPO."""
    tight = replaced(WHOLE, ("rpo: 5m", "rpo: 1s"))
    assert found_in(tmp_path, tight, [story(0, over_rpo=("metadata-db",), rpo_met=False)]) == []


def test_deployments_whose_images_nobody_looks_after(tmp_path: Path) -> None:
    """No component holds them at all."""
    found = found_in(tmp_path, (ROOT / "runbooks/lab.yaml").read_text(), [story(0)])
    assert [(item.name, item.component) for item in found] == [("unchecked-need", "deployments")] * 2
    assert "oci-registry" in found[0].fix and "vault-kv" in found[1].fix


def test_a_promotion_without_any_fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kind of the user's own that forgot it."""
    from dr.model.words import Verb
    from dr.providers import registry
    from tests.cli import toy

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    path = toy.make(tmp_path)
    whole = toy.Toy.steps
    assert found_in(tmp_path, path.read_text(), [story(0)]) == []
    monkeypatch.setattr(toy.Toy, "steps", lambda *given: [step for step in whole(*given) if step.spec.verb is not Verb.FENCE])
    monkeypatch.setattr(toy.Toy, "_step", _without_needs(toy.Toy._step))
    (flaw,) = found_in(tmp_path, path.read_text(), [story(0)])
    assert (flaw.name, flaw.component, flaw.steps) == ("no-fence", "db", ("db/promote",))
    assert "without a fence" in flaw.text


def _without_needs(step: Callable[..., object]) -> Callable[..., object]:
    """A step that does not ask for the fence that is not there."""
    return lambda self, name, verb, region, role, *needs: step(self, name, verb, region, role, *(need for need in needs if need != "fence"))
