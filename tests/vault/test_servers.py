"""The kind on two real OpenBao servers: what is copied, what is never overwritten, what is found, what a server in trouble costs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from dr.errors import Permanent, StepError, UsageError
from dr.model.evidence import Accounted
from dr.model.lag import ComponentView, LagSample
from dr.model.words import Guard, Intent, Known, Role, Severity
from dr.ports import Kind, Look
from dr.providers.selfhosted.vault.carry import allowed, carry
from dr.providers.selfhosted.vault.lineage import Standing
from dr.providers.selfhosted.vault.wire import Conflict, Denied, NotAnswering, Sealed
from tests.postgres.rig import poll
from tests.vault.databases import FERNET, Databases
from tests.vault.rig import Pair

pytestmark = pytest.mark.lab
PLANNED, FAILOVER, REPROTECT = Intent.SWITCHOVER, Intent.FAILOVER, Intent.REPROTECT


def errors(view: ComponentView, region: str = "west") -> list[str]:
    return [item.fact for item in view.findings if item.severity is Severity.ERROR and item.region == region]


def sampled(kind: Kind) -> LagSample:
    """A sample that both servers answered: they have a second each, which a busy machine may use up."""
    taken: list[LagSample] = []

    def answered() -> bool:
        taken.append(kind.sample("east"))
        return "no answer" not in taken[-1].reason

    poll(answered, "an answer of both servers within the second of a sample")
    return taken[-1]


@contextmanager
def trouble(pair: Pair, region: str, how: str) -> Iterator[None]:
    """A server that is killed, held or sealed, and well again afterwards."""
    servers = pair.servers
    acts: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "killed": (lambda: servers.kill(region), lambda: servers.back(region)),
        "held": (lambda: servers.signal(region, signal.SIGSTOP), lambda: servers.signal(region, signal.SIGCONT)),
        "sealed": (lambda: servers.seal(region), lambda: servers.unseal(region)),
    }
    begin, end = acts[how]
    begin()
    try:
        yield
    finally:
        end()


# --- copying ---


def test_a_copy_has_the_same_versions_settings_and_labels(pair: Pair) -> None:
    """History in its order, deleted versions left out, custom metadata of its owner kept, its origin beside it."""
    pair.put("east", "a/b", "one", "two", "three")
    pair.put("east", "plain", "x")
    pair.destroy("east", "a/b", 2)
    secret = pair.look("east", "a/b")
    assert secret is not None
    pair.stores["east"].describe("a/b", {"owner": "billing"}, secret.settings.__class__(max_versions=7, cas_required=True))
    assert pair.kind().copy("east", "west") == 2
    assert [pair.get("west", "a/b", number) for number in (1, 2)] == ["one", "three"]
    there = pair.look("west", "a/b")
    assert there is not None and (there.settings.max_versions, there.settings.cas_required) == (7, True)
    assert there.marks == {"owner": "billing", "source_region": "east", "source_version": "3", "copied_version": "2"}


def test_copying_again_writes_nothing(pair: Pair) -> None:
    """Repeatable: the second time there is nothing to do, and no version is added."""
    pair.put("east", "a", "one", "two")
    kind = pair.kind()
    assert (kind.copy("east", "west"), kind.copy("east", "west")) == (1, 0)
    assert {path: secret.current for path, secret in pair.all("west").items()} == {"a": 2}


def test_only_the_newer_versions_come_over(pair: Pair) -> None:
    """A copy that is older gets what it lacks, on top of what it has."""
    pair.put("east", "a", "one", "two")
    pair.put("west", "a", "zero", "one")
    assert pair.kind().copy("east", "west") == 1
    assert [pair.get("west", "a", number) for number in (1, 2, 3)] == ["zero", "one", "two"]


def test_nothing_newer_is_overwritten(pair: Pair) -> None:
    """A value that was changed in the target stays: the planned move stops and names it, and goes on once somebody accepted that."""
    pair.put("east", "a", "one")
    kind = pair.kind()
    kind.copy("east", "west")
    pair.put("west", "a", "newer")
    seen = pair.run(kind, "prepare", PLANNED)
    assert seen.look is Look.BLOCKED and "1 secret changed in west: a" in seen.reason and "--accept prerequisites" in seen.reason
    pair.accept(Guard.PREREQUISITES)
    assert pair.run(kind, "prepare", PLANNED).look is Look.DONE
    assert pair.get("west", "a") == "newer"


def test_a_write_in_between_is_left_alone(pair: Pair) -> None:
    """Every write is conditional on the version that was read: a conflict is counted, not written over."""
    pair.put("east", "a", "one")
    pair.put("east", "b", "one")
    vaults = pair.kind()._vaults
    original, copy = vaults.side("east"), vaults.side("west")
    compared = vaults.compared(original, copy)
    pair.put("west", "a", "somebody else's")
    carried = carry(vaults, original, copy, allowed(compared, vaults.config.copies))
    assert [item.path for item in carried.done] == ["b"] and [item.path for item in carried.conflicts] == ["a"]
    assert pair.get("west", "a") == "somebody else's"
    with pytest.raises(Conflict):
        pair.stores["west"].write("a", vaults.stores["east"].read("a"), 0)  # type: ignore[arg-type]  # it is there


def test_a_lease_that_was_lost_writes_nothing(pair: Pair) -> None:
    """Asked before each secret."""
    pair.put("east", "a", "one")
    vaults = pair.kind()._vaults
    original, copy = vaults.side("east"), vaults.side("west")
    with pytest.raises(StepError, match="lease"):
        carry(vaults, original, copy, vaults.compared(original, copy).items, may_act=lambda: False)
    assert pair.all("west") == {}


@pytest.mark.parametrize(("policy", "there"), [("never", set()), ("missing", {"a", "old"}), ("newer", {"a", "old"})])
def test_the_policy_is_kept(pair: Pair, policy: str, there: set[str]) -> None:
    """``never`` writes nothing, ``missing`` leaves older values alone; what is left stops a planned move."""
    pair.put("east", "a", "one")
    pair.put("east", "old", "one", "two")
    if policy != "never":
        pair.put("west", "old", "one")
    seen = pair.run(pair.kind(copies=policy), "prepare", PLANNED)
    assert set(pair.all("west")) == there
    assert seen.look is (Look.DONE if policy == "newer" else Look.BLOCKED)
    assert pair.get("west", "old") == {"never": None, "missing": "one", "newer": "two"}[policy]


def test_secrets_of_a_region_are_not_copied(pair: Pair) -> None:
    """What differs on purpose must be there and is not compared: a copy would lead into the other region."""
    pair.put("east", "own/endpoint", "postgres.east.internal")
    pair.put("east", "own/second", "east's")
    pair.put("west", "own/second", "west's")
    kind = pair.kind(per_region=["own/*"])
    assert kind.copy("east", "west") == 0
    pair.peers["db"] = Databases(east=1)
    facts = errors(pair.kind(per_region=["own/*"], database="db").view())
    assert facts == ["secrets: 1 secret missing in west: own/endpoint (not there)"]


def test_a_server_without_listing_at_once_is_listed_by_folder(pair: Pair) -> None:
    """Vault has no such path, and a policy for Vault no right to it: the same secrets are found."""
    pair.put("east", "a/b/c", "one")
    pair.put("east", "a/d", "one", "two")
    pair.token("east", more="")
    assert pair.kind().copy("east", "west") == 2
    assert {path: secret.current for path, secret in pair.all("west").items()} == {"a/b/c": 1, "a/d": 2}


def test_only_the_prefixes_are_touched(pair: Pair) -> None:
    """What the runbook does not name is neither copied nor compared."""
    pair.put("east", "ours/a", "one")
    pair.put("east", "others/b", "one")
    assert pair.kind(prefixes=["ours/"]).copy("east", "west") == 1
    assert set(pair.all("west")) == {"ours/a"}


# --- what is found ---


def test_deleted_and_destroyed_versions_are_found(pair: Pair) -> None:
    """A secret whose newest version cannot be read is missing, although it is there; the one place says why."""
    pair.peers["db"] = Databases(east=1)
    for path in ("deleted", "destroyed", "fine"):
        pair.put("east", path, "one", "two")
    kind = pair.kind(database="db")
    kind.copy("east", "west")
    pair.delete("west", "deleted")
    pair.destroy("west", "destroyed", 2)
    [fact] = errors(kind.view())
    assert "2 secrets missing in west" in fact
    assert "deleted (its newest version is deleted)" in fact and "destroyed (its newest version is destroyed)" in fact
    assert kind.copy("east", "west") == 2 and errors(kind.view()) == []
    assert pair.get("west", "destroyed") == "two"


def test_values_that_lead_into_the_lost_region_are_found(pair: Pair) -> None:
    """Named by path, never by content; a value in the region that it leads into is fine."""
    pair.peers["db"] = Databases(east=1)
    pair.put("east", "dsn", "postgres.east.internal")
    pair.put("east", "address", f"redis://{pair.servers.url('east').removeprefix('http://')}")
    pair.put("east", "fine", "an eastern story")
    kind = pair.kind(database="db")
    kind.copy("east", "west")
    view = kind.view()
    assert errors(view) == ["secrets: 2 secrets in west leading into east: address, dsn"]
    assert errors(view, "east") == []


def test_two_equal_sides_have_no_finding_and_no_lag(pair: Pair) -> None:
    """The view carries no lag at all: it must not count against an objective."""
    pair.peers["db"] = Databases(east=3)
    pair.put("east", "a", "one")
    kind = pair.kind(database="db")
    kind.copy("east", "west")
    view = kind.view()
    assert view.findings == () and view.lag is None and view.primary == "east" and view.regions["east"].epoch == 3
    assert view.regions["west"].role is Role.SECONDARY
    assert sampled(kind).lag == timedelta(0)
    pair.put("east", "a", "two")
    sample = sampled(kind)
    assert (sample.state, sample.lag) == (Known.UNKNOWN, None) and "1 secret not equal" in sample.reason


def test_what_deployments_need_is_looked_for_in_the_target(pair: Pair) -> None:
    """By the Deployments that the database lists: missing, no key, and a key that does not decrypt what is in that region's database."""
    databases = Databases(east=1, deployments=3)
    pair.peers["db"] = databases
    settings = {"database": "db", "needed": ["pull/{id}"], "fernet": {}}
    for item in databases.deployed:
        pair.put("east", f"deployments/{item.id}/fernet", databases.keys[item.id], name="key")
        pair.put("east", f"pull/{item.id}", "secret")
    kind = pair.kind(**settings)
    kind.copy("east", "west")
    assert kind.view().findings == ()
    pair.delete("east", "pull/d-001")
    pair.delete("west", "pull/d-001")
    pair.put("east", "deployments/d-002/fernet", "no key", name="key")
    kind.copy("east", "west")
    databases.encrypt("d-003", FERNET.generate_key().decode())
    assert errors(kind.view()) == [
        "secrets: 1 secret that Deployments need missing in west: pull/d-001 (its newest version is deleted)",
        "secrets: 1 secret without a Fernet key in west: deployments/d-002/fernet",
        "secrets: 1 value that the Fernet key does not decrypt in west: connection warehouse of d-003",
    ]
    seen = pair.run(kind, "prepare", PLANNED)
    assert seen.look is Look.BLOCKED and all(part in seen.reason for part in ("pull/d-001", "d-002/fernet", "of d-003"))


def test_one_look_asks_few_databases_and_others_the_next_time(pair: Pair) -> None:
    """A login for each of 80 databases would hold a failover up; every one has its turn, and a bad one is asked again."""
    databases = Databases(east=1, deployments=9)
    pair.peers["db"] = databases
    for item in databases.deployed:
        pair.put("east", f"deployments/{item.id}/fernet", databases.keys[item.id], name="key")
    kind = pair.kind(database="db", fernet={})
    kind.copy("east", "west")
    databases.encrypt("d-006", FERNET.generate_key().decode())
    seen = []
    for _ in range(4):
        databases.asked.clear()
        seen.append(any("d-006" in fact for fact in errors(kind.view())))
        assert len({name for region, name in databases.asked if region == "west" and name}) <= 5
    assert seen[1:] == [True, True, True]


# --- servers in trouble ---


@pytest.mark.parametrize(
    ("how", "role", "severity"),
    [
        ("killed", Role.STOPPED, Severity.WARNING),
        ("held", Role.UNREACHABLE, Severity.WARNING),
        ("sealed", Role.SECONDARY, Severity.ERROR),
    ],
)
def test_a_target_in_trouble_is_said_and_not_waited_for(
    pair: Pair, patience: pytest.MonkeyPatch, how: str, role: Role, severity: Severity
) -> None:
    """The view never raises; where nobody answers the role refuses the move, a sealed one is a finding that can be accepted."""
    if how == "held":
        patience.undo()  # what a silent server may cost is the product's to say
    pair.peers["db"] = Databases(east=1)
    pair.put("east", "a", "one")
    kind = pair.kind(database="db")
    with trouble(pair, "west", how):
        view = kind.view()
        assert view.regions["west"].role is role
        assert [item.severity for item in view.findings if item.region == "west"] == [severity]
        with pytest.raises((NotAnswering, Sealed)):
            pair.run(kind, "prepare", FAILOVER)
        assert kind.sample("east").state is Known.UNKNOWN


@pytest.mark.parametrize("how", ["killed", "held", "sealed"])
def test_a_failover_does_not_need_the_lost_region(pair: Pair, patience: pytest.MonkeyPatch, how: str) -> None:
    """What was kept of it takes its place: what is missing in the target is found all the same, and refuses."""
    if how == "held":
        patience.undo()  # what a silent server may cost is the product's to say
    pair.peers["db"] = Databases(east=1)
    pair.put("east", "a", "one")
    pair.put("east", "b", "one")
    pair.samples.keep_identities("test", "secrets", pair.kind().identities("east"))
    pair.put("west", "a", "one")
    kind = pair.kind(database="db", source_timeout=timedelta(milliseconds=500))
    with trouble(pair, "east", how):
        kept = "by the account that was kept of the other side"
        assert errors(kind.view()) == [f"secrets: 1 secret missing in west ({kept}): b (not there)"]
        seen = pair.run(kind, "prepare", FAILOVER)
        assert seen.look is Look.BLOCKED and "1 secret missing in west: b" in seen.reason
        pair.put("west", "b", "one")
        assert pair.run(kind, "prepare", FAILOVER).look is Look.DONE
    account = pair.found(Accounted)
    assert (account.checked, account.equal, account.complete) == (2, 2, False)


def test_a_failover_asks_a_dead_server_once_at_most(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose last look found the source gone does not ask it again."""
    pair.peers["db"] = Databases(east=1)
    pair.put("east", "a", "one")
    kind = pair.kind(database="db")
    kind.copy("east", "west")
    with trouble(pair, "east", "killed"):
        kind.view()
        asked: list[str] = []
        store = kind._vaults.stores["east"]
        monkeypatch.setattr(store, "secrets", lambda *_: asked.append("east"))
        assert pair.run(kind, "prepare", FAILOVER).look is Look.DONE
        assert asked == []


def test_a_failover_takes_what_the_source_still_gives(pair: Pair) -> None:
    """Not needed, but where it answers in time nothing that it has is left behind."""
    pair.put("east", "a", "one")
    seen = pair.run(pair.kind(), "prepare", FAILOVER)
    assert seen.look is Look.DONE and pair.get("west", "a") == "one"
    account = pair.found(Accounted)
    assert (account.missing_total, account.repaired, account.complete) == (1, 1, True)


def test_a_token_that_is_not_good_is_said(pair: Pair) -> None:
    """Permanent, with the next step, and without the token."""
    kind = pair.kind()
    pair.secrets.values["west"] = "s.wrong-token-of-this-test"
    with pytest.raises(Denied) as denied:
        kind.copy("east", "west")
    assert "wrong-token" not in denied.value.message and "policy" in denied.value.hint
    pair.secrets.values["west"] = "two words\nof-a-token"
    with pytest.raises(Permanent) as refused:
        kind.copy("east", "west")
    assert "words" not in refused.value.message


# --- the kind itself ---


def test_settings_that_do_not_fit_the_runbook_are_refused(pair: Pair) -> None:
    """Named before anything is connected."""
    url = pair.servers.url("east")
    with pytest.raises(UsageError, match="is not in needs"):
        pair.kind(database="db")
    with pytest.raises(UsageError, match="both name the server"):
        pair.kind(regions={region: {"url": url, "token": {"env": region}} for region in ("east", "west")})
    with pytest.raises(UsageError, match=r"secrets: regions\.north: unknown region"):
        pair.kind(regions={region: {"url": f"http://{region}:1", "token": {"env": region}} for region in ("east", "north")})


def test_every_step_says_what_it_touches_and_how_to_do_it_by_hand(pair: Pair) -> None:
    """Commands for the day the tool is gone; a failover touches nothing of the lost region; no token on a command line."""
    kind: Kind = pair.kind()
    for intent in Intent:
        for step in kind.steps(intent, "east", "west"):
            spec = step.spec
            assert spec.touches and spec.permissions and "bao " in spec.by_hand and spec.check_by_hand, spec.id
            assert not any(value in spec.by_hand for value in pair.secrets.values.values())
            if intent is FAILOVER:
                assert {touch.region for touch in spec.touches} == {"west"}


def test_standings_are_written_as_they_are_named() -> None:
    """The list of items holds these words."""
    assert [*Standing] == ["equal", "missing", "older", "newer", "diverged", "only there"]
