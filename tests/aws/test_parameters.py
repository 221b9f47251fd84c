"""``aws.ssm-parameters`` against the emulated AWS: nothing replicates them, so ``dr`` compares, copies, and never overwrites the newest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import Permanent, StepError, UsageError
from dr.model.evidence import Accounted, Following, Preserved
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.parameters import SsmParameters
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]


class Database:
    """A component that says where it takes writes."""

    def __init__(self, primary: str | None) -> None:
        self.primary = primary

    def view(self) -> Database:
        return self


class Made:
    """Parameters of one test, below a path of their own."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.path = emulator, f"/t{uuid4().hex[:8]}"

    def put(self, name: str, value: str, *regions: str, type: str = "SecureString") -> None:
        for region in regions or (EAST,):
            client = self.emulator.client("ssm", region)
            client.put_parameter(Name=f"{self.path}/{name}", Value=value, Type=type, Overwrite=True)

    def read(self, name: str, region: str) -> str:
        found = self.emulator.client("ssm", region).get_parameter(Name=f"{self.path}/{name}", WithDecryption=True)
        return str(found["Parameter"]["Value"])

    def settings(self, **changes: object) -> dict[str, object]:
        return {"paths": [self.path], "regions": {"east": {}, "west": {}}, **changes}


@pytest.fixture
def made(emulator: Emulator) -> Made:
    return Made(emulator)


def facts(kind: SsmParameters) -> list[tuple[str | None, str]]:
    return [(item.region, item.fact) for item in kind.view().findings if item.severity is Severity.ERROR]


def test_what_is_found_beforehand(rig: Rig, made: Made) -> None:
    """Missing, other values, other types, leading into the other region; what each region has for itself is not compared."""
    made.put("equal", "v", EAST, WEST)
    kind = rig.make(SsmParameters, "parameters", made.settings(per_region=["*/own"]))
    assert kind.view().findings == ()
    made.put("gone", "planted")
    made.put("other", "planted")
    made.put("other", "planted 2", WEST)
    made.put("type", "v", type="String")
    made.put("type", "v", WEST)
    made.put("own", "db.us-east-1.planted")
    made.put("own", "db.us-west-2.planted", WEST)
    made.put("leads", "db.us-east-1.planted", EAST, WEST)
    found = facts(kind)
    assert found == [
        ("east", f"1 parameter in east with another value: {made.path}/other"),
        ("east", f"1 parameter in east of another type: {made.path}/type"),
        ("west", f"1 parameter in west missing: {made.path}/gone"),
        ("west", f"1 parameter in west with another value: {made.path}/other"),
        ("west", f"1 parameter in west of another type: {made.path}/type"),
        ("west", f"1 parameter in west leading into east: {made.path}/leads"),
    ]
    assert "planted" not in repr(found)


def test_a_look_is_batched(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Ten a call, by path and by name."""
    for number in range(25):
        made.put(f"{number:02}", "v", EAST, WEST)
    named = [f"{made.path}/{number:02}" for number in range(25)]
    for settings, expected in (({}, {"GetParametersByPath": 6}), ({"paths": [], "names": named}, {"GetParameters": 6})):
        kind = rig.make(SsmParameters, "parameters", made.settings(**settings))
        with emulator.counted() as calls:
            assert kind.view().findings == ()
        assert Counter(call.operation for call in calls if call.service == "ssm") == expected


def test_a_planned_move_brings_over_what_is_missing_or_older(rig: Rig, made: Made, emulator: Emulator) -> None:
    """By the contents that each side has had, not by clocks; the answer may be lost, and nothing is written twice."""
    made.put("gone", "v1")
    made.put("older", "v1", EAST, WEST)
    made.put("older", "v2")
    kind = rig.make(SsmParameters, "parameters", made.settings())
    step = rig.step(kind, Intent.SWITCHOVER, Verb.PREPARE)
    emulator.fault(WEST, "lost-answer", "ssm:PutParameter", times=1)
    with emulator.counted() as calls:
        with pytest.raises(StepError):
            rig.perform(step, Intent.SWITCHOVER)
        assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    assert (made.read("gone", WEST), made.read("older", WEST)) == ("v1", "v2")
    assert Counter(call.operation for call in calls)["PutParameter"] == 2
    assert not rig.undeclared([step], calls)
    account = [item for item in rig.evidence if isinstance(item, Accounted)][-1]
    assert (account.checked, account.equal, account.complete) == (2, 2, True)


@pytest.mark.parametrize(("copies", "written"), [("never", set()), ("missing", {"gone"}), ("newer", {"gone", "older"})])
def test_what_may_be_written_is_the_runbooks_to_say(rig: Rig, made: Made, emulator: Emulator, copies: str, written: set[str]) -> None:
    """And a value that is newer in the target, or of unknown origin, is never overwritten by a planned move: it blocks."""
    made.put("gone", "v1")
    made.put("older", "v1", EAST, WEST)
    made.put("older", "v2")
    made.put("newer", "v1", EAST, WEST)
    made.put("newer", "v2", WEST)
    made.put("diverged", "a")
    made.put("diverged", "b", WEST)
    kind = rig.make(SsmParameters, "parameters", made.settings(copies=copies))
    seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED
    assert "changed after it was copied" in seen.reason and "no common history" in seen.reason
    assert (made.read("newer", WEST), made.read("diverged", WEST)) == ("v2", "b")
    names = {item["Name"] for item in emulator.client("ssm", WEST).get_parameters_by_path(Path=made.path)["Parameters"]}
    assert (f"{made.path}/gone" in names, made.read("older", WEST) == "v2") == ("gone" in written, "older" in written)


def test_a_failover_asks_the_target_only(rig: Rig, made: Made, emulator: Emulator) -> None:
    """What the lost region had is known from the last look at both."""
    made.put("there", "v", EAST, WEST)
    made.put("gone", "v")
    rig.make(SsmParameters, "parameters", made.settings()).view()
    kind = rig.make(SsmParameters, "parameters", made.settings())
    emulator.lose(EAST)
    with emulator.counted() as calls:
        [seen] = rig.run(kind, Intent.FAILOVER)
    assert (seen.look, {call.proxy for call in calls}) == (Look.BLOCKED, {WEST})
    assert f"1 parameter in west missing: {made.path}/gone" in seen.reason
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), calls)


def test_the_way_back(rig: Rig, made: Made, emulator: Emulator) -> None:
    """The old side gets what the leading side has; what it had otherwise is listed, and stays in its history."""
    for name in ("kept", "forked"):
        made.put(name, "v1", EAST, WEST)
    made.put("new", "v1", WEST)
    made.put("forked", "written in east later")
    made.put("forked", "written in west", WEST)
    rig.peers["db"] = cast("Any", Database("west"))
    kind = rig.make(SsmParameters, "parameters", made.settings(database="db"), ["db"])
    with emulator.counted() as calls:
        assert [seen.look for seen in rig.run(kind, Intent.REPROTECT)] == [Look.DONE, Look.DONE]
    assert not rig.undeclared(kind.steps(Intent.REPROTECT, "east", "west"), calls)
    assert [made.read(name, EAST) for name in ("kept", "forked", "new")] == ["v1", "written in west", "v1"]
    [kept] = [item for item in rig.evidence if isinstance(item, Preserved)]
    [row] = [json.loads(line) for line in Path(kept.manifest).read_text().splitlines()]
    assert (row["parameter"], row["version"]) == (f"{made.path}/forked", 2) and "written" not in Path(kept.manifest).read_text()
    history = emulator.client("ssm", EAST).get_parameter_history(Name=f"{made.path}/forked", WithDecryption=True)["Parameters"]
    assert "written in east later" in [item["Value"] for item in history]
    assert [item.upstream for item in rig.evidence if isinstance(item, Following)] == [WEST]


def test_the_newest_is_left_alone_where_nobody_knows_who_leads(rig: Rig, made: Made) -> None:
    """Without a database in the runbook; with one that leads elsewhere nothing is done at all."""
    made.put("x", "v1", EAST, WEST)
    made.put("x", "newest")
    kind = rig.make(SsmParameters, "parameters", made.settings())
    seen = rig.run(kind, Intent.REPROTECT)[-1]
    assert (seen.look, made.read("x", EAST)) == (Look.DONE, "newest") and "changed after it was copied" in seen.reason
    rig.peers["db"] = cast("Any", Database("east"))
    kind = rig.make(SsmParameters, "parameters", made.settings(database="db"), ["db"])
    assert [seen.reason.partition(":")[0] for seen in rig.run(kind, Intent.REPROTECT)] == ["newest-copy", "newest-copy"]


def test_a_write_in_between_is_not_lost(rig: Rig, made: Made) -> None:
    """Somebody changes the target after the look: it is left as it is, and the next look judges it anew."""
    made.put("x", "v1", EAST, WEST)
    made.put("x", "v2")
    kind = rig.make(SsmParameters, "parameters", made.settings())
    step = rig.step(kind, Intent.SWITCHOVER, Verb.PREPARE)
    operation = cast("Any", step.operation)
    both = operation.both("east", "west")
    made.put("x", "v3", WEST)
    assert operation.carry(rig.context(step, Intent.SWITCHOVER), both, [f"{made.path}/x"]) == 0
    assert made.read("x", WEST) == "v3"


def test_refusals(rig: Rig, made: Made, emulator: Emulator) -> None:
    """A missing permission names the action; a key that cannot be used says so; no value is in an error."""
    made.put("x", "planted")
    kind = rig.make(SsmParameters, "parameters", made.settings())
    emulator.deny("ssm:GetParametersByPath", WEST)
    [found] = [item for item in kind.view().findings if item.region == "west"]
    assert found.severity is Severity.ERROR and "ssm:GetParametersByPath" in found.fix
    emulator.clear_faults()
    emulator.fault(WEST, "refusal", "ssm:PutParameter", code="InvalidKeyId", status=400)
    with pytest.raises(Permanent) as caught:
        rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER)
    assert "KMS key" in caught.value.hint and "planted" not in repr(caught.value)


def test_steps_permissions_and_by_hand(rig: Rig, made: Made) -> None:
    """A failover only reads, in the target; keys of one's own are named; commands hold no value."""
    key = f"arn:aws:kms:{WEST}:{ACCOUNT}:key/1"
    kind = rig.make(SsmParameters, "parameters", made.settings(names=["plain"], regions={"east": {}, "west": {"kms_key": key}}))
    [prepare] = kind.steps(Intent.FAILOVER, "east", "west")
    parameter = f"arn:aws:ssm:{WEST}:{ACCOUNT}:parameter"
    assert set(prepare.spec.permissions) == {
        f"ssm:GetParametersByPath on {parameter}{made.path}", f"ssm:GetParametersByPath on {parameter}{made.path}/*",
        f"ssm:GetParameters on {parameter}/plain", f"ssm:GetParameters on {parameter}{made.path}/*", f"kms:Decrypt on {key}",
    }  # fmt: skip
    planned = rig.step(kind, Intent.FAILBACK, Verb.PREPARE).spec
    assert f"ssm:PutParameter on {parameter}/plain" in planned.permissions and f"kms:Encrypt on {key}" in planned.permissions
    for intent in Intent:
        for step in kind.steps(intent, "east", "west"):
            assert "aws ssm get-parameters" in step.spec.by_hand and step.spec.check_by_hand
    assert registry.find("aws.ssm-parameters") is SsmParameters


def test_bad_settings(rig: Rig, made: Made) -> None:
    changes: list[dict[str, object]] = [{"paths": []}, {"paths": ["no/slash"]}, {"copies": "always"}, {"lost_region_words": {"north": []}}]
    for changed in changes:
        with pytest.raises(ValidationError):
            rig.make(SsmParameters, "parameters", made.settings(**changed))
    with pytest.raises(UsageError, match="database: db is not in needs"):
        rig.make(SsmParameters, "parameters", made.settings(database="db"))
