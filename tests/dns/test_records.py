"""Which names lead where and what has to change; how an update is written; what the view says: pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import dns.message
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import Permanent, StepError
from dr.model.runbook import SecretRef
from dr.model.words import Role, Severity
from dr.providers.selfhosted.dns.config import DnsConfig, RegionNames, Tsig
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, ZoneCopy, answers, copied, leads, redirected, restored
from dr.providers.selfhosted.dns.view import judge
from dr.providers.selfhosted.dns.wire import LARGEST_MESSAGE, NotAnswering, build, fitting

EAST, WEST, THIRD = "10.1.0.1", "10.2.0.1", "10.3.0.1"
ADDRESSES = {"east": (EAST,), "west": (WEST,)}
NOW = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)
CONFIG = DnsConfig(
    zone="Example.Test.", names=("*.example.test",), tsig=Tsig(name="k", key=SecretRef(env="K")),
    regions={"east": RegionNames(server="10.0.0.1", address=EAST), "west": RegionNames(server="10.0.0.2", address=WEST)},
)  # fmt: skip


def sets(**names: str) -> dict[Key, RecordSet]:
    """``web="a b"``: the name web.example.test with two addresses."""
    return {
        (f"{name}.example.test", "A"): RecordSet(f"{name}.example.test", "A", 1, frozenset(addresses.split()))
        for name, addresses in names.items()
    }


def zone(**names: str) -> ZoneCopy:
    return ZoneCopy("ns. host. 7 60 60 3600 1", 1, sets(**names), frozenset({"ns.example.test"}))


def applied(records: Mapping[Key, RecordSet], changes: list[Change]) -> dict[str, frozenset[str]]:
    now = {item.name: item.addresses for item in records.values()}
    for change in changes:
        now[change.name] = (now.get(change.name, frozenset()) - change.remove) | change.add
    return now


def test_only_what_leads_to_the_source_is_changed() -> None:
    """Other addresses of a name stay, and names that lead elsewhere are nobody's business."""
    records = sets(web=EAST, shared=f"{EAST} {THIRD}", other=THIRD, done=WEST)
    changes = redirected(records, [EAST], [WEST])
    assert applied(records, changes) == {
        "web.example.test": {WEST}, "shared.example.test": {WEST, THIRD}, "other.example.test": {THIRD}, "done.example.test": {WEST},
    }  # fmt: skip
    assert [change.name for change in changes] == ["shared.example.test", "web.example.test"]


def test_a_type_that_the_target_has_no_address_of_loses_the_source() -> None:
    """A name must not lead to a lost region by its IPv6 address either."""
    records = {("web", "AAAA"): RecordSet("web", "AAAA", 1, frozenset({"fd00::1"}))}
    (change,) = redirected(records, [EAST, "fd00::1"], [WEST])
    assert set(change.remove) == {"fd00::1"}
    assert set(change.add) == set()


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sets(st.sampled_from([EAST, WEST, THIRD]), min_size=1), max_size=6))
def test_a_redirect_taken_back_gives_the_old_answers(names: dict[str, set[str]]) -> None:
    """For any zone: after undo every name answers what it answered before; the redirect again changes nothing."""
    records = sets(**{name: " ".join(addresses) for name, addresses in names.items()})
    changes = redirected(records, [EAST], [WEST])
    now = {key: RecordSet(*key, 1, applied(records, changes)[key[0]]) for key in records}
    assert redirected(now, [EAST], [WEST]) == []
    moved = {(change.name, change.type) for change in changes}
    before = answers(item for key, item in records.items() if key in moved)
    back = applied(now, restored(now, before))
    assert back == {item.name: item.addresses for item in records.values()}


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sets(st.sampled_from([WEST, THIRD]), min_size=1), max_size=6),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sets(st.sampled_from([EAST, WEST, THIRD]), min_size=1), max_size=6),
)
def test_a_returned_server_ends_equal_and_leads_nowhere_old(theirs: dict[str, set[str]], ours: dict[str, set[str]]) -> None:
    """Whatever its stale zone holds: their names are equal afterwards, its own further names stay, and none leads to the source."""
    new, old = (sets(**{name: " ".join(addresses) for name, addresses in names.items()}) for names in (theirs, ours))
    now = applied(old, copied(new, old, [EAST], [WEST]))
    assert {name: addresses for name, addresses in now.items() if (name, "A") in new} == applied(new, [])
    assert set(now) == {name for name, _ in (*new, *old)}
    assert all(EAST not in addresses for addresses in now.values())


def test_leading_is_told_by_name() -> None:
    """One region, several, or both at once by one name."""
    assert leads(sets(a=EAST, b=EAST, c=THIRD), ADDRESSES).only == "east"
    assert leads(sets(a=EAST, b=WEST), ADDRESSES).only is None
    mixed = leads(sets(a=f"{EAST} {WEST}"), ADDRESSES)
    assert (mixed.only, mixed.mixed) == (None, ("a.example.test",))
    assert leads(sets(c=THIRD), ADDRESSES).only is None


def test_name_servers_are_never_moved_and_patterns_know_no_case() -> None:
    """The zone's own server name matches the pattern, and belongs to its server all the same."""
    copy = zone(ns=EAST, web=EAST)
    assert set(copy.matching(["*.EXAMPLE.test."])) == {("web.example.test", "A")}
    assert set(copy.matching(["w?b.example.test"])) == {("web.example.test", "A")}
    assert copy.matching(["*.other.test"]) == {}


def many(count: int) -> list[Change]:
    return [
        Change(f"quiet-comet-{number:05d}.api.example.test", "A", 5, frozenset({EAST}), frozenset({WEST})) for number in range(count)
    ]


def test_the_update_says_what_was_asked_on_condition_of_the_zone_as_read() -> None:
    """One prerequisite (the start of authority), each old address deleted by value, each new one added with the old TTL."""
    message = dns.message.from_wire(build("example.test", zone(), many(2)).to_wire())
    (condition,) = message.sections[1]
    assert (condition.rdtype, condition.rdclass) == (dns.rdatatype.SOA, dns.rdataclass.IN)
    assert condition[0].serial == 7
    told = sorted((item.deleting == dns.rdataclass.NONE, item.ttl, item[0].address) for item in message.sections[2])
    assert told == [(False, 5, WEST)] * 2 + [(True, 0, EAST)] * 2


@pytest.mark.parametrize("count", [0, 1, 240, 1000])
def test_what_fits_is_one_message(count: int) -> None:
    """80 Deployments have 240 names: one message, all or nothing."""
    assert fitting("example.test", zone(), many(count)) == count


def test_beyond_the_limit_as_much_as_fits() -> None:
    """Only beyond 64 KB is anything split, and a message is at least half full."""
    count = fitting("example.test", zone(), many(5000))
    assert 500 < count < 5000
    assert len(build("example.test", zone(), many(count)).to_wire()) <= LARGEST_MESSAGE


def roles(**copies: ZoneCopy | StepError) -> dict[str, Role]:
    return {region: seen.role for region, seen in judge("dns", NOW, CONFIG, copies).regions.items()}


def facts(**copies: ZoneCopy | StepError) -> list[tuple[Severity, str]]:
    return [(item.severity, item.fact) for item in judge("dns", NOW, CONFIG, copies).findings]


def test_each_region_is_what_its_own_server_says() -> None:
    """Both alike; one dead before and after the redirect; a server that came back stale says that it is primary, too."""
    east, west = zone(web=EAST), zone(web=WEST)
    assert roles(east=east, west=east) == {"east": Role.PRIMARY, "west": Role.SECONDARY}
    dead = NotAnswering("gone", refused=True)
    assert roles(east=dead, west=east) == {"east": Role.STOPPED, "west": Role.SECONDARY}
    assert roles(east=NotAnswering("silent"), west=west) == {"east": Role.UNREACHABLE, "west": Role.PRIMARY}
    assert roles(east=east, west=west) == {"east": Role.PRIMARY, "west": Role.PRIMARY}
    assert judge("dns", NOW, CONFIG, {"east": east, "west": west}).primary is None
    assert roles(east=zone(web=EAST, app=WEST), west=Permanent("no"))["east"] is Role.UNKNOWN
    assert judge("dns", NOW, CONFIG, {"east": east, "west": east}).lag is None


def test_findings_name_what_would_go_wrong() -> None:
    """A dead server is none (that is why people move); disagreement, half a redirect, a refusal, a long TTL and missing names are."""
    east, west = zone(web=EAST), zone(web=WEST)
    assert facts(east=east, west=east) == []
    assert facts(east=NotAnswering("gone"), west=east) == []
    assert any(how is Severity.ERROR and "differently" in fact for how, fact in facts(east=east, west=west))
    assert any(how is Severity.ERROR and "several" in fact for how, fact in facts(east=east, west=zone(web=EAST, app=WEST)))
    assert any(how is Severity.ERROR and "does not work" in fact for how, fact in facts(east=east, west=Permanent("NOTAUTH")))
    assert any(how is Severity.ERROR and "no name" in fact for how, fact in facts(east=east, west=zone(web=THIRD)))
    assert any(how is Severity.WARNING and "missing" in fact for how, fact in facts(east=zone(web=EAST, new=EAST), west=east))
    long = ZoneCopy("soa", 1, {("a.example.test", "A"): RecordSet("a.example.test", "A", 3600, frozenset({EAST}))})
    assert any(how is Severity.WARNING and "TTL" in fact for how, fact in facts(east=long, west=long))
