"""``aws.secretsmanager`` against the emulated AWS: readable replicas, what is found beforehand, promotion, and a way back that keeps."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import EffectUnknown, Permanent, StepError, Transient, UsageError
from dr.model.evidence import Accounted, Following, Preserved
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.secrets import SecretsManager
from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]
REGIONS: dict[str, object] = {"regions": {"east": {}, "west": {}}}


class Database:
    """A component that says where it takes writes."""

    def __init__(self, primary: str | None) -> None:
        self.primary = primary

    def view(self) -> Database:
        return self


class Made:
    """Secrets of one test, below a beginning of their own."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.prefix = emulator, f"t{uuid4().hex[:8]}/"

    def put(self, name: str, value: str, region: str = EAST, to: Sequence[str] = (WEST,)) -> str:
        client = self.emulator.client("secretsmanager", region)
        more = {"AddReplicaRegions": [{"Region": code} for code in to]} if to else {}
        return str(client.create_secret(Name=self.prefix + name, SecretString=value, **more)["ARN"])

    def change(self, name: str, value: str, region: str = EAST) -> None:
        self.emulator.client("secretsmanager", region).put_secret_value(SecretId=self.prefix + name, SecretString=value)

    def read(self, name: str, region: str) -> str:
        return str(self.emulator.client("secretsmanager", region).get_secret_value(SecretId=name)["SecretString"])

    def primary(self, name: str, region: str) -> str | None:
        found: dict[str, Any] = self.emulator.client("secretsmanager", region).describe_secret(SecretId=self.prefix + name)
        return found.get("PrimaryRegion")

    def settings(self, **changes: object) -> dict[str, object]:
        return {"prefixes": [self.prefix], **REGIONS, **changes}


@pytest.fixture
def made(emulator: Emulator) -> Made:
    emulator.set_seconds("secretsmanager.replication", seconds=0.05)
    return Made(emulator)


def facts(kind: SecretsManager) -> list[tuple[Severity, str | None, str]]:
    return [(item.severity, item.region, item.fact) for item in kind.view().findings]


def test_a_replica_that_can_be_read_is_all_that_is_needed(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Nothing is found; a failover looks only, in the target only; nothing of it is a role or a lag."""
    made.put("fernet", "k1")
    made.put("smtp", "k2")
    kind = rig.make(SecretsManager, "secrets", made.settings())
    view = kind.view()
    assert (view.regions, view.lag, view.findings) == ({}, None, ())
    emulator.lose(EAST)
    with emulator.counted() as calls:
        [seen] = rig.run(kind, Intent.FAILOVER)
    assert seen.look is Look.DONE
    assert {call.proxy for call in calls} == {WEST}
    [account] = [item for item in rig.evidence if isinstance(item, Accounted)]
    assert (account.checked, account.equal, account.complete) == (2, 2, False)
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), calls)


def test_a_look_at_a_hundred_secrets_takes_few_calls(rig: Rig, made: Made, emulator: Emulator) -> None:
    """One page of names and five batches of values for each region; within five minutes the names only."""
    for number in range(100):
        made.put(f"{number:03}", f"v{number}")
    kind = rig.make(SecretsManager, "secrets", made.settings())
    with emulator.counted() as first:
        kind.view()
    with emulator.counted() as second:
        kind.view()
    asked = Counter(call.operation for call in first if call.service == "secretsmanager")
    assert asked == {"ListSecrets": 2, "BatchGetSecretValue": 10}
    assert Counter(call.operation for call in second if call.service == "secretsmanager") == {"ListSecrets": 2}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing", (Severity.ERROR, "west", "1 secret missing in west: {}x")),
        ("leads", (Severity.ERROR, "west", "1 secret in west leading into east: {}x")),
        ("alone", (Severity.WARNING, "west", "1 secret in west that nothing replicates: both sides stand alone, equal now: {}x")),
        ("differing", (Severity.ERROR, "west", "1 secret in west with another value: both sides stand alone: {}x")),
        ("foreign", (Severity.ERROR, "west", "1 secret in west replicating from a region that is not in the runbook: {}x")),
    ],
)  # fmt: skip
def test_what_is_found_beforehand(rig: Rig, made: Made, emulator: Emulator, name: str, expected: tuple[Severity, str, str]) -> None:
    """Each with its severity, names and a fix, for moves to the region where it matters; the value is in none of it."""
    match name:
        case "missing":
            made.put("x", "planted", to=())
        case "leads":
            made.put("x", json.dumps({"host": "planted.us-east-1.rds.amazonaws.com"}))
        case "alone" | "differing":
            made.put("x", "planted", to=())
            made.put("x", "planted" if name == "alone" else "planted 2", WEST, to=())
        case "foreign":
            made.put("x", "planted", "eu-west-1")
            made.put("x", "planted", to=())
    found = rig.make(SecretsManager, "secrets", made.settings()).view().findings
    assert (expected[0], expected[1], expected[2].format(made.prefix)) in [(item.severity, item.region, item.fact) for item in found]
    assert all(item.fix for item in found)
    assert "planted" not in repr(found)


def test_words_and_patterns_of_the_runbook(rig: Rig, made: Made) -> None:
    """``per_region`` is not compared; ``lost_region_words`` stand in place of AWS's name of the region."""
    made.put("own", "us-east-1", to=())
    made.put("own", "us-west-2", WEST, to=())
    made.put("named", "db.us-east-1.example")
    made.put("mine", "db.virginia.example")
    kind = rig.make(SecretsManager, "secrets", made.settings(per_region=[f"{made.prefix}own"], lost_region_words={"east": ["virginia"]}))
    assert facts(kind) == [(Severity.ERROR, "west", f"1 secret in west leading into east: {made.prefix}mine")]


def test_a_rotating_secret_is_said(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Rotation runs at the primary only."""
    arn = made.put("x", "v")
    client = emulator.client("secretsmanager", EAST)
    client.rotate_secret(SecretId=arn, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False)
    found = facts(rig.make(SecretsManager, "secrets", made.settings()))
    assert [item for item in found if item[0] is Severity.INFO] == [
        (Severity.INFO, "west", f"1 secret rotated in east only: {made.prefix}x"),
    ]  # fmt: skip


def test_what_a_lost_region_had_is_known(rig: Rig, made: Made, emulator: Emulator) -> None:
    """The newest look at both sides is kept: a failover without the source still finds what is missing, and a person may accept it."""
    made.put("there", "v")
    made.put("not-there", "v", to=())
    rig.make(SecretsManager, "secrets", made.settings()).view()
    kind = rig.make(SecretsManager, "secrets", made.settings())
    emulator.lose(EAST)
    [seen] = rig.run(kind, Intent.FAILOVER)
    assert seen.look is Look.BLOCKED
    assert f"1 secret missing in west: {made.prefix}not-there" in seen.reason and "--accept prerequisites" in seen.reason


def test_a_planned_move_replicates_what_is_missing(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Asked in the source, never over anything; the answer may be lost: the next look decides, and nothing is asked for twice."""
    made.put("x", "v", to=())
    kind = rig.make(SecretsManager, "secrets", made.settings())
    step = rig.step(kind, Intent.SWITCHOVER, Verb.PREPARE)
    emulator.fault(EAST, "lost-answer", "secretsmanager:ReplicateSecretToRegions", times=1)
    with emulator.counted() as calls:
        with pytest.raises(StepError):
            rig.perform(step, Intent.SWITCHOVER)
        assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    asked = [call for call in calls if call.operation == "ReplicateSecretToRegions"]
    assert [call.proxy for call in asked] == [EAST]
    assert made.primary("x", WEST) == EAST
    assert not rig.undeclared([step], calls)


def test_promotion_happens_only_where_it_is_wished(rig: Rig, made: Made) -> None:
    """Off the critical path (release), irreversible, in the replica's region."""
    kind = rig.make(SecretsManager, "secrets", made.settings())
    assert [step.spec.verb for step in kind.steps(Intent.FAILOVER, "east", "west")] == [Verb.PREPARE]
    kind = rig.make(SecretsManager, "secrets", made.settings(promote=True))
    chains = {intent: [step.spec.verb for step in kind.steps(intent, "east", "west")] for intent in Intent}
    planned = [Verb.PREPARE, Verb.RELEASE, Verb.PRESERVE, Verb.FOLLOW]
    assert chains == {
        Intent.FAILOVER: [Verb.PREPARE, Verb.RELEASE], Intent.SWITCHOVER: planned, Intent.FAILBACK: planned,
        Intent.REPROTECT: [Verb.RELEASE, Verb.PRESERVE, Verb.FOLLOW],
    }  # fmt: skip
    release = rig.step(kind, Intent.FAILOVER, Verb.RELEASE).spec
    assert release.irreversible
    assert [(touch.region, touch.plane) for touch in release.touches if touch.service != "sts"] == [("west", "control")]
    secrets = f"arn:aws:secretsmanager:{WEST}:123456789012:secret:{made.prefix}*"
    assert f"secretsmanager:StopReplicationToReplica on {secrets}" in release.permissions


def test_there_and_back_with_writes_on_both_sides(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Failover with promotion; then both regions are written to; the old side's version is kept in the leading region, then overwritten."""
    made.put("x", "first")
    made.put("y", "same")
    rig.peers["db"] = cast("Any", Database("west"))
    kind = rig.make(SecretsManager, "secrets", made.settings(promote=True, database="db"), ["db"])
    emulator.lose(EAST)
    assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.DONE, Look.DONE]
    assert made.primary("x", WEST) is None
    made.change("x", "old side's own")
    emulator.bring_back(EAST)
    made.change("x", "written after the move", WEST)
    with emulator.counted() as calls:
        assert [seen.look for seen in rig.run(kind, Intent.REPROTECT)] == [Look.DONE] * 3
    assert not rig.undeclared(kind.steps(Intent.REPROTECT, "east", "west"), calls)
    assert made.read(f"{made.prefix}x", EAST) == "written after the move"
    assert made.primary("x", EAST) == WEST and made.primary("y", EAST) == WEST
    [kept] = [item for item in rig.evidence if isinstance(item, Preserved)]
    [row] = [json.loads(line) for line in Path(kept.manifest).read_text().splitlines()]
    assert made.read(row["kept"], WEST) == "old side's own"
    assert kept.items == 1 and "own" not in Path(kept.manifest).read_text()
    assert [item.upstream for item in rig.evidence if isinstance(item, Following)] == [WEST]
    with emulator.counted() as calls:  # given again: nothing is sent
        assert [seen.look for seen in rig.run(kind, Intent.REPROTECT)] == [Look.DONE] * 3
    assert not [call for call in calls if call.operation in ("ReplicateSecretToRegions", "CreateSecret", "StopReplicationToReplica")]


def test_what_is_kept_is_kept_once(rig: Rig, made: Made, emulator: Emulator) -> None:
    """The answer to a copy is lost: the next look finds it, and nothing is written twice."""
    made.put("x", "old", to=())
    made.put("x", "new", WEST, to=())
    kind = rig.make(SecretsManager, "secrets", made.settings())
    step = rig.step(kind, Intent.REPROTECT, Verb.PRESERVE)
    emulator.fault(WEST, "lost-answer", "secretsmanager:CreateSecret", times=1)
    with emulator.counted() as calls:
        with pytest.raises(EffectUnknown):
            rig.perform(step, Intent.REPROTECT)
        assert rig.perform(step, Intent.REPROTECT).look is Look.DONE
    assert Counter(call.operation for call in calls)["CreateSecret"] == 1


def test_a_copy_that_shows_a_little_later_is_waited_for(rig: Rig, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made is not seen at once; what has its name and another value is no copy, and waiting does not help."""
    made.put("x", "old", to=())
    made.put("x", "new", WEST, to=())
    kind = rig.make(SecretsManager, "secrets", made.settings())
    step = rig.step(kind, Intent.REPROTECT, Verb.PRESERVE)
    context = rig.context(step, Intent.REPROTECT)
    step.operation.act(context)
    with monkeypatch.context() as late:
        late.setattr(kind.reader, "digests", lambda place, names: {})
        assert step.operation.verify(context).look is Look.NEEDED
        late.setattr(kind.reader, "digests", lambda place, names: dict.fromkeys(names, "of something else"))
        seen = step.operation.verify(context)
    assert seen.look is Look.BLOCKED and "another value" in seen.reason
    assert step.operation.verify(context).look is Look.DONE


def test_nothing_is_overwritten_before_it_is_preserved(rig: Rig, made: Made) -> None:
    """The follow step by itself refuses; with ``preserve: list`` a listing is enough."""
    made.put("x", "old", to=())
    made.put("x", "new", WEST, to=())
    rig.peers["db"] = cast("Any", Database("west"))
    kind = rig.make(SecretsManager, "secrets", made.settings(database="db"), ["db"])
    seen = rig.perform(rig.step(kind, Intent.REPROTECT, Verb.FOLLOW), Intent.REPROTECT)
    assert (seen.look, seen.reason) == (Look.BLOCKED, "1 version only in east not preserved yet")
    listing = rig.make(SecretsManager, "secrets", made.settings(preserve="list", database="db"), ["db"])
    assert [seen.look for seen in rig.run(listing, Intent.REPROTECT)] == [Look.DONE, Look.DONE]
    assert made.primary("x", EAST) == WEST


def test_the_newest_is_left_alone_where_nobody_knows_who_leads(rig: Rig, made: Made) -> None:
    """The old side wrote last, and the runbook names no database: kept as it is, and listed."""
    made.put("x", "leading", WEST, to=())
    made.put("x", "newest", to=())
    kind = rig.make(SecretsManager, "secrets", made.settings())
    seen = rig.run(kind, Intent.REPROTECT)[-1]
    assert seen.look is Look.DONE and "changed last in east" in seen.reason
    assert made.read(f"{made.prefix}x", EAST) == "newest"


@pytest.mark.parametrize("primary", ["east", None])
def test_the_database_decides_who_leads(rig: Rig, made: Made, primary: str | None) -> None:
    """It leads elsewhere: blocked; it does not say: asked again later."""
    made.put("x", "v", to=())
    rig.peers["db"] = cast("Any", Database(primary))
    kind = rig.make(SecretsManager, "secrets", made.settings(database="db"), ["db"])
    step = rig.step(kind, Intent.REPROTECT, Verb.PRESERVE)
    if primary is None:
        with pytest.raises(Transient, match="does not say which region leads"):
            rig.perform(step, Intent.REPROTECT)
    else:
        seen = rig.perform(step, Intent.REPROTECT)
        assert seen.look is Look.BLOCKED and seen.reason.startswith("newest-copy: db does not lead in west")


def test_without_promotion_a_way_back_has_nothing_to_do(rig: Rig, made: Made, emulator: Emulator) -> None:
    """The replicas never forked."""
    made.put("x", "v")
    kind = rig.make(SecretsManager, "secrets", made.settings())
    with emulator.counted() as calls:
        assert [seen.look for seen in rig.run(kind, Intent.REPROTECT)] == [Look.DONE, Look.DONE]
    assert not [call for call in calls if call.operation in ("ReplicateSecretToRegions", "CreateSecret")]


def test_a_missing_permission_names_the_action(rig: Rig, made: Made, emulator: Emulator) -> None:
    """An error finding, with the way to the policies; a region that does not answer is a warning."""
    made.put("x", "v")
    kind = rig.make(SecretsManager, "secrets", made.settings())
    emulator.deny("secretsmanager:ListSecrets", WEST)
    [found] = [item for item in kind.view().findings if item.region == "west"]
    assert found.severity is Severity.ERROR and "secretsmanager:ListSecrets" in found.fix
    emulator.clear_faults()
    emulator.lose(EAST)
    assert [item.severity for item in kind.view().findings if item.region == "east"] == [Severity.WARNING]


@pytest.mark.parametrize(("code", "error"), [("InvalidRequestException", Permanent), ("ThrottlingException", Transient)])
def test_refusals(rig: Rig, made: Made, emulator: Emulator, code: str, error: type[StepError]) -> None:
    """For good with what a person does, or for now."""
    made.put("x", "v")
    kind = rig.make(SecretsManager, "secrets", made.settings(promote=True))
    emulator.fault(WEST, "refusal", "secretsmanager:StopReplicationToReplica", code=code, status=400)
    with pytest.raises(error) as caught:
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.RELEASE), Intent.FAILOVER)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prefixes": []}, "names or prefixes"),
        ({"names": ["arn:aws:x"]}, "expected names"),
        ({"lost_region_words": {"north": ["n"]}}, "which regions does not have"),
    ],
)
def test_bad_settings(rig: Rig, made: Made, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        rig.make(SecretsManager, "secrets", made.settings(**settings))


def test_contradictions_with_the_runbook(rig: Rig, made: Made) -> None:
    with pytest.raises(UsageError, match="database: db is not in needs"):
        rig.make(SecretsManager, "secrets", made.settings(database="db"))
    with pytest.raises(UsageError, match=r"regions.north: unknown region"):
        rig.make(SecretsManager, "secrets", made.settings(regions={"east": {}, "north": {}}))


def test_by_hand(rig: Rig, made: Made) -> None:
    """What is typed is aws-cli for the same calls, without a value in it; a check is there for each."""
    kind = rig.make(SecretsManager, "secrets", made.settings(promote=True, names=["a bc/d"], per_region=["*/own"]))
    for intent in Intent:
        for step in kind.steps(intent, "east", "west"):
            assert re.search(r"aws secretsmanager [a-z-]+ ", step.spec.by_hand) and step.spec.check_by_hand
            assert "NAME" not in step.spec.by_hand and "VERSION" not in step.spec.by_hand
    assert registry.find("aws.secretsmanager") is SecretsManager
