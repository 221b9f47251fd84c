"""The step chains against two real name servers."""

from __future__ import annotations

from datetime import timedelta

import dns.update
import pytest

from dr.errors import Permanent, Transient
from dr.model.evidence import Following, Redirected
from dr.model.words import Intent, Known, Role, Verb
from dr.ports import Look, Step
from dr.providers.selfhosted.dns import DnsRecords
from dr.providers.selfhosted.dns.wire import NameServers, NotAnswering, ZoneChanged
from tests.dns.rig import KEY, LEADS, PATIENCE, Servers
from tests.postgres.rig import FixedSecrets, poll

pytestmark = pytest.mark.lab
NAMES = [f"comet-{number}.{kind}" for number in range(3) for kind in ("ui", "api", "remote")]
TO_WEST = (Intent.FAILOVER, "east", "west")


def step(kind: DnsRecords, verb: Verb, intent: Intent = Intent.FAILOVER, source: str = "east", target: str = "west") -> Step:
    return next(item for item in kind.steps(intent, source, target) if item.spec.verb is verb)


def redirected(servers: Servers) -> Redirected:
    return next(item for item in reversed(servers.evidence) if isinstance(item, Redirected))


def test_failover_with_the_sources_server_dead(servers: Servers) -> None:
    """East's server died with its region: all names lead to west, what could not be reached is named, old answers are kept."""
    servers.make(NAMES)
    servers.kill("east")
    kind = servers.kind()
    assert servers.view(kind).regions["west"].role is Role.SECONDARY
    servers.perform_all(kind, *TO_WEST)
    for name in NAMES:
        assert servers.answer("west", f"{name}.example.test") == {LEADS["west"]}
    evidence = redirected(servers)
    assert (evidence.names, evidence.old_ttl) == (len(NAMES), timedelta(seconds=1))
    assert evidence.before["comet-0.ui.example.test"] == (LEADS["east"],)
    assert len(evidence.not_reached) == 1
    assert "connection refused" in evidence.not_reached[0]
    assert not evidence.still_answers, "its host says that it is gone"
    assert servers.view(kind).primary == "west"
    assert servers.answer("west", "ns.example.test") == {LEADS["west"]}, "the server's own name is not touched"
    assert servers.answer("west", "other.example.test") == {"10.9.9.9"}


def test_a_silent_server_of_the_source_may_still_lead_people_there(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen, or behind a partition: nobody can tell, so nobody may say that names lead away."""
    monkeypatch.setattr("dr.providers.selfhosted.dns.redirect._PATIENCE", PATIENCE)
    servers.make(NAMES)
    servers.freeze("east")
    try:
        servers.perform_all(servers.kind(source_timeout="500ms"), *TO_WEST)
    finally:
        servers.thaw("east")
    evidence = redirected(servers)
    assert evidence.still_answers
    assert len(evidence.not_reached) == 1


def test_both_servers_lead_to_the_target_where_both_are_up(servers: Servers) -> None:
    """A planned move: nobody is left who leads to the source; there and back again."""
    servers.make(NAMES)
    kind = servers.kind()
    for source, target in (("east", "west"), ("west", "east")):
        servers.perform_all(kind, Intent.SWITCHOVER, source, target)
        assert {servers.answer(region, f"{name}.example.test") == {LEADS[target]} for region in LEADS for name in NAMES} == {True}
        assert redirected(servers).not_reached == ()
        assert servers.view(kind).primary == target


def test_240_names_are_one_update(servers: Servers) -> None:
    """80 Deployments: one message, so the zone's serial grows by one."""
    servers.make([f"comet-{number:03d}.{kind}" for number in range(80) for kind in ("ui", "api", "remote")])
    kind = servers.kind()
    before = NameServers("dns", kind.config, FixedSecrets({"TSIG": KEY})).read("west")
    servers.perform(step(kind, Verb.REDIRECT), *TO_WEST)
    after = NameServers("dns", kind.config, FixedSecrets({"TSIG": KEY})).read("west")
    assert redirected(servers).names == 240
    serials = [int(copy.soa.split()[2]) for copy in (before, after)]
    assert serials[1] == serials[0] + 1


def test_more_names_than_a_message_holds_are_redirected_too(servers: Servers) -> None:
    """Beyond 64 KB it takes several updates, each conditional on the one before."""
    servers.make([f"a-rather-long-name-of-a-comet-{number:04d}" for number in range(1600)])
    kind = servers.kind()
    assert servers.perform(step(kind, Verb.REDIRECT), *TO_WEST).look is Look.DONE
    assert redirected(servers).names == 1600
    assert servers.answer("west", "a-rather-long-name-of-a-comet-1599.example.test") == {LEADS["west"]}


def test_a_second_redirect_touches_nothing(servers: Servers) -> None:
    """The same again sees that it holds."""
    servers.make(NAMES)
    kind = servers.kind()
    servers.perform_all(kind, *TO_WEST)
    for item in kind.steps(*TO_WEST)[:2]:
        assert item.operation.observe(servers.context(item, *TO_WEST)).look is Look.DONE


def test_undo_puts_the_old_answers_back(servers: Servers) -> None:
    """From the evidence: also a name that had two addresses; at both servers."""
    servers.make(NAMES, extra=f"two A {LEADS['east']}\ntwo A 10.8.8.8\n")
    kind = servers.kind()
    redirect = step(kind, Verb.REDIRECT)
    servers.perform(redirect, *TO_WEST)
    assert servers.answer("west", "two.example.test") == {LEADS["west"], "10.8.8.8"}
    assert redirect.spec.undoable
    for _ in range(2):
        redirect.operation.undo(servers.context(redirect, *TO_WEST))
        for region in LEADS:
            assert servers.answer(region, "two.example.test") == {LEADS["east"], "10.8.8.8"}
            assert servers.answer(region, "comet-0.ui.example.test") == {LEADS["east"]}


def test_undo_without_old_answers_leads_back_to_the_source(servers: Servers) -> None:
    """The process died before it could journal them."""
    servers.make(NAMES)
    kind = servers.kind()
    redirect = step(kind, Verb.REDIRECT)
    servers.perform(redirect, *TO_WEST)
    servers.evidence = []
    redirect.operation.undo(servers.context(redirect, *TO_WEST))
    assert servers.answer("west", "comet-0.ui.example.test") == {LEADS["east"]}


def test_propagate_waits_for_the_old_ttl(servers: Servers) -> None:
    """Caches may hold the old answer that long after the redirect, and not longer."""
    servers.make(NAMES, ttl=6)  # seen before it is over, also where the machine stands still for a moment
    kind = servers.kind()
    servers.perform(step(kind, Verb.REDIRECT), *TO_WEST)
    propagate = step(kind, Verb.PROPAGATE)
    assert propagate.operation.observe(servers.context(propagate, *TO_WEST)).look is Look.NEEDED
    assert servers.perform(propagate, *TO_WEST).look is Look.DONE
    assert servers.clock.now() >= redirected(servers).at + timedelta(seconds=6)


def test_propagate_mends_a_server_that_came_back_stale(servers: Servers) -> None:
    """East's server is up again while old answers are waited for: it gets the new ones, too."""
    servers.make(NAMES)
    servers.kill("east")
    kind = servers.kind()
    servers.perform(step(kind, Verb.REDIRECT), *TO_WEST)
    servers.start("east")
    assert servers.perform(step(kind, Verb.PROPAGATE), *TO_WEST).look is Look.DONE
    assert servers.answer("east", "comet-0.ui.example.test") == {LEADS["west"]}


def test_a_returned_server_stops_leading_to_the_lost_region(servers: Servers) -> None:
    """Re-protect copies what changed meanwhile: names made since, and names that only the stale server knows."""
    servers.make(NAMES)
    servers.kill("east")
    kind = servers.kind()
    servers.perform_all(kind, *TO_WEST)
    servers.start("east")
    assert servers.view(kind).regions["east"].role is Role.PRIMARY, "by its own stale word"
    assert servers.sample(kind, "west").state is Known.UNKNOWN
    servers.perform_all(kind, Intent.REPROTECT, "east", "west")
    assert servers.answer("east", "comet-2.remote.example.test") == {LEADS["west"]}
    assert any(isinstance(item, Following) for item in servers.evidence)
    view = servers.view(kind)
    assert (view.primary, view.regions["east"].role, view.findings, view.lag) == ("west", Role.SECONDARY, (), None)
    sample = servers.sample(kind, "west")
    assert (sample.state, sample.lag) == (Known.KNOWN, timedelta(0))


def test_a_stale_zone_is_never_what_is_copied(servers: Servers) -> None:
    """The runbook's words point the wrong way: the target's own server does not lead to it, so nothing is copied from there."""
    servers.make(NAMES)
    kind = servers.kind()
    follow = step(kind, Verb.FOLLOW, Intent.REPROTECT)
    seen = follow.operation.observe(servers.context(follow, Intent.REPROTECT, "east", "west"))
    assert seen.look is Look.BLOCKED
    assert seen.reason.startswith("newest-copy")


def test_prepare_refuses_what_would_fail_later(servers: Servers) -> None:
    """A key that the server does not know, and patterns that name nothing: found out before anything is touched."""
    servers.make(NAMES)
    wrong = servers.kind(tsig={"name": "other-key", "algorithm": "hmac-sha256", "key": {"env": "OTHER"}})
    prepare = step(wrong, Verb.PREPARE)
    with pytest.raises(Permanent) as error:
        prepare.operation.observe(servers.context(prepare, *TO_WEST))
    assert "other-key" in error.value.hint
    nothing = servers.kind(names=["*.nowhere.test"])
    prepare = step(nothing, Verb.PREPARE)
    with pytest.raises(Permanent, match="no name"):
        prepare.operation.act(servers.context(prepare, *TO_WEST))
    works = step(servers.kind(), Verb.PREPARE)
    assert servers.perform(works, *TO_WEST).look is Look.DONE
    assert servers.answer("west", "comet-0.ui.example.test") == {LEADS["east"]}


def test_a_key_that_differs_is_named_without_its_value(servers: Servers) -> None:
    """Same name, other secret: permanent, and neither secret is in the error."""
    servers.make(NAMES)
    other = "b3RoZXIta2V5LW9mLXRlc3RzLW9ubHkhISE="
    copy = NameServers("dns", servers.kind().config, FixedSecrets({"TSIG": KEY})).read("west")
    wrong = servers.kind(tsig={"name": "dr-key", "algorithm": "hmac-sha256", "key": {"env": "OTHER"}})
    wire = NameServers("dns", wrong.config, FixedSecrets({"OTHER": other}))
    for act in (lambda: wire.read("west"), lambda: wire.update("west", copy, [])):
        with pytest.raises(Permanent) as error:
            act()
        assert other not in f"{error.value} {error.value.hint} {error.value.__context__!r}"


def test_an_update_of_a_zone_that_changed_meanwhile_is_refused_and_read_again(servers: Servers) -> None:
    """Conditional on what was read: somebody else's change in between is seen, and both changes hold in the end."""
    servers.make(NAMES)
    kind = servers.kind()
    wire = NameServers("dns", kind.config, FixedSecrets({"TSIG": KEY}))
    stale = wire.read("west")
    redirect = step(kind, Verb.REDIRECT)
    redirect.operation.observe(servers.context(redirect, *TO_WEST))
    update = dns.update.UpdateMessage("example.test")
    update.add("new.example.test.", 1, "A", LEADS["east"])
    update.use_tsig(dns.tsig.Key("dr-key", KEY, "hmac-sha256."))
    assert dns.query.tcp(update, "127.0.50.1", port=servers.port, timeout=5).rcode() == 0
    with pytest.raises(ZoneChanged):
        wire.update("west", stale, [])
    redirect.operation.act(servers.context(redirect, *TO_WEST))
    assert servers.answer("west", "new.example.test") == {LEADS["west"]}
    assert servers.answer("west", "comet-0.ui.example.test") == {LEADS["west"]}


def test_a_dead_target_is_worth_retrying(servers: Servers) -> None:
    """The target's own server does not answer: transient, nothing was done."""
    servers.make(NAMES)
    servers.kill("west")
    kind = servers.kind()
    redirect = step(kind, Verb.REDIRECT)
    with pytest.raises(Transient) as error:
        redirect.operation.observe(servers.context(redirect, *TO_WEST))
    assert isinstance(error.value, NotAnswering)
    assert error.value.refused
    poll(lambda: kind.view().regions["west"].role is Role.STOPPED, "the view to see it")
