"""A planned move lowers the TTL, waits until the old one has passed before anything is frozen, and puts it back."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import dns.message
import dns.query
import pytest

from dr.model.evidence import PutBack, Redirected, Temporary, TtlLowered
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look, Step
from dr.providers.selfhosted.dns import DnsRecords
from dr.providers.selfhosted.dns.records import Change, RecordSet, copied, lowered, ttl_key, with_ttls
from tests.dns.rig import LEADS, SERVER, Servers

EAST, WEST = LEADS["east"], LEADS["west"]
NAMES = ["a.ui", "b.ui", "c.api"]
MIXED = f"long 600 A {EAST}\nshort 1 A {EAST}\nelsewhere 600 A {WEST}\n"
PLANNED = (Intent.SWITCHOVER, "east", "west")


def ttl(servers: Servers, region: str, name: str) -> int:
    """What a client is told."""
    question = dns.message.make_query(f"{name}.example.test", "A")
    answer = dns.query.udp(question, SERVER[region], timeout=10, port=servers.port)
    [rrset] = answer.answer
    return rrset.ttl


def named(kind: DnsRecords, name: str) -> Step:
    return next(step for step in kind.steps(*PLANNED) if step.spec.id == f"dns/{name}")


def records(*items: tuple[str, int, set[str]]) -> dict[tuple[str, str], RecordSet]:
    made = [RecordSet(name, "A", seconds, frozenset(addresses)) for name, seconds, addresses in items]
    return {item.key: item for item in made}


def test_only_what_leads_to_the_source_and_lives_long_is_lowered() -> None:
    """Whole record sets get another TTL: one TTL holds for all addresses of a name (RFC 2181, 5.2)."""
    zone = records(("a", 300, {EAST, "10.9.9.9"}), ("b", 5, {EAST}), ("c", 300, {WEST}))
    both = frozenset({EAST, "10.9.9.9"})
    assert lowered(zone, [EAST], 5) == [Change("a", "A", 5, both, both)]
    assert lowered(zone, [EAST], 1)[1] == Change("b", "A", 1, frozenset({EAST}), frozenset({EAST}))


def test_the_old_ttl_is_put_back_wherever_the_name_leads_now() -> None:
    """After the redirect the name has another address; a name that is not known is left alone."""
    zone = records(("a", 1, {WEST}), ("b", 1, {WEST}), ("new", 1, {WEST}))
    known = {ttl_key(item): seconds for item, seconds in zip(zone.values(), (300, 1), strict=False)}
    assert with_ttls(zone, known) == [Change("a", "A", 300, frozenset({WEST}), frozenset({WEST}))]


def test_re_protect_makes_ttls_equal_too() -> None:
    """A server that came back with the lowered TTL would differ for ever."""
    theirs, ours = records(("a", 300, {WEST})), records(("a", 1, {WEST}))
    assert copied(theirs, ours, [EAST], [WEST]) == [Change("a", "A", 300, frozenset({WEST}), frozenset({WEST}))]


@pytest.mark.lab
def test_the_old_ttl_has_passed_before_the_freeze_and_the_wait_after_it_is_short(servers: Servers) -> None:
    """TTL 3 s, lowered to 1 s: three seconds pass before anything is frozen, one after the redirect; 3 s again at the end."""
    servers.make(NAMES, ttl=3)
    kind = servers.kind(lower_ttl_to="1s")
    assert [step.spec.id for step in kind.steps(*PLANNED)] == [
        f"dns/{name}" for name in ("prepare", "lower-ttl", "wait-ttl", "redirect", "propagate", "raise-ttl")
    ]  # fmt: skip
    servers.perform_all(kind, *PLANNED)
    [low] = [item for item in servers.evidence if isinstance(item, TtlLowered)]
    [moved] = [item for item in servers.evidence if isinstance(item, Redirected)]
    assert (low.names, low.old_ttl, moved.old_ttl) == (len(NAMES), timedelta(seconds=3), timedelta(seconds=1))
    assert moved.at - low.at >= timedelta(seconds=3), "the names led to the source until the longest answer had died"
    assert {ttl(servers, region, name) for region in SERVER for name in NAMES} == {3}
    assert {servers.answer(region, f"{name}.example.test") == {WEST} for region in SERVER for name in NAMES} == {True}
    assert [item.what for item in servers.evidence if isinstance(item, (Temporary, PutBack))] == ["ttl", "ttl"]
    assert not [item for item in servers.view(kind).findings if item.severity is Severity.ERROR]


@pytest.mark.lab
def test_each_name_gets_its_own_ttl_back_by_the_undo(servers: Servers) -> None:
    """A rollback before the redirect: 600, 5 and 1 s as they were, at both servers; twice is as good as once."""
    servers.make(NAMES, ttl=5, extra=MIXED)
    kind = servers.kind(lower_ttl_to="1s")
    for name in ("prepare", "lower-ttl"):
        assert servers.perform(named(kind, name), *PLANNED).look is Look.DONE
    lengths = {name: {ttl(servers, region, name) for region in SERVER} for name in (*NAMES, "long", "short", "elsewhere", "other")}
    assert lengths == {**{name: {1} for name in NAMES}, "long": {1}, "short": {1}, "elsewhere": {600}, "other": {5}}
    step = named(kind, "lower-ttl")
    assert step.spec.undoable
    for _ in range(2):
        step.operation.undo(servers.context(step, *PLANNED))
    lengths = {name: {ttl(servers, region, name) for region in SERVER} for name in (*NAMES, "long", "short", "elsewhere", "other")}
    assert lengths == {**{name: {5} for name in NAMES}, "long": {600}, "short": {1}, "elsewhere": {600}, "other": {5}}


@pytest.mark.lab
def test_a_crash_between_the_update_and_its_journal_waits_anew(servers: Servers) -> None:
    """Both servers say 1 s already; what they said before is in the journal of ``prepare``, so the whole old TTL is waited out from now."""
    servers.make(NAMES, ttl=60)  # never waited out
    kind = servers.kind(lower_ttl_to="1s")
    servers.perform(named(kind, "prepare"), *PLANNED)
    lower = named(kind, "lower-ttl")
    lower.operation.act(servers.context(lower, *PLANNED))  # its evidence is lost
    assert servers.perform(lower, *PLANNED).look is Look.DONE
    [low] = [item for item in servers.evidence if isinstance(item, TtlLowered)]
    assert low.old_ttl == timedelta(seconds=60)
    wait = named(kind, "wait-ttl")
    assert wait.operation.observe(servers.context(wait, *PLANNED)).look is Look.NEEDED


@pytest.mark.lab
def test_short_ttls_cost_nothing(servers: Servers) -> None:
    """Nothing to lower, to wait for or to put back: found done, and nothing is left temporary."""
    servers.make(NAMES, ttl=1)
    kind = servers.kind(lower_ttl_to="5s")
    servers.perform(named(kind, "prepare"), *PLANNED)
    for name in ("lower-ttl", "wait-ttl", "raise-ttl"):
        step = named(kind, name)
        assert step.operation.observe(servers.context(step, *PLANNED)).look is Look.DONE
    assert not [item for item in servers.evidence if isinstance(item, (Temporary, TtlLowered))]


@pytest.mark.lab
def test_a_failover_lowers_nothing(servers: Servers) -> None:
    """Nobody waits for a TTL before a failover: its own wait comes after the redirect, as long as the old TTL is."""
    servers.make(NAMES, ttl=2)
    servers.kill("east")
    kind = servers.kind(lower_ttl_to="1s")
    assert not [step for step in kind.steps(Intent.FAILOVER, "east", "west") if step.spec.verb in (Verb.LOWER_TTL, Verb.RAISE_TTL)]
    servers.perform_all(kind, Intent.FAILOVER, "east", "west")
    [moved] = [item for item in servers.evidence if isinstance(item, Redirected)]
    assert moved.old_ttl == timedelta(seconds=2)


@pytest.mark.parametrize(("name", "old", "wanted"), [("lower-ttl", "", "1"), ("raise-ttl", "300", "300")])
def test_the_commands_by_hand_send_what_the_step_sends(tmp_path: Path, name: str, old: str, wanted: str) -> None:
    """With a ``dig`` that prints a zone and an ``nsupdate`` that writes down what it is given: both servers, only our addresses."""
    zone = f"example.test. 300 IN SOA ns h 1 2 3 4 5\na.example.test. 300 IN A {EAST}\nother.example.test. 300 IN A 10.9.9.9\n"
    (tmp_path / "zone").write_text(zone)
    (tmp_path / "dig").write_text(f"#!/bin/sh\ncat {tmp_path}/zone\n")
    (tmp_path / "nsupdate").write_text(f"#!/bin/sh\ncat >> {tmp_path}/sent\n")
    for program in ("dig", "nsupdate"):
        (tmp_path / program).chmod(0o755)
    spec = named(Servers(tmp_path, 16353).kind(lower_ttl_to="1s"), name).spec
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TSIG": "c2VjcmV0", **({"OLD_TTL": old} if old else {})}

    def typed(command: str) -> int:
        return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, timeout=20, check=False).returncode

    assert typed(spec.by_hand) == 0
    sent = (tmp_path / "sent").read_text().splitlines()
    change = ["zone example.test", f"update delete a.example.test. A {EAST}", f"update add a.example.test. {wanted} A {EAST}", "send"]
    assert sent == [line for region in SERVER for line in (f"server {SERVER[region]} 16353", *change)]
    assert (typed(spec.check_by_hand) == 0) is (wanted == "300"), "the zone still says 300"
    (tmp_path / "zone").write_text(zone.replace("a.example.test. 300", "a.example.test. 1"))
    assert (typed(spec.check_by_hand) == 0) is (wanted == "1")
    assert "c2VjcmV0" not in spec.by_hand
