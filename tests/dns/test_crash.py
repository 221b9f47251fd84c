"""Whoever redirects may die between the two servers: what goes on sees what is left to do, and says what it cannot see."""

from __future__ import annotations

import pytest

from dr.model.words import Verb
from dr.ports import Look
from tests.dns.rig import LEADS, Servers
from tests.dns.test_servers import NAMES, TO_WEST, redirected, step

pytestmark = pytest.mark.lab


def half_told(servers: Servers) -> None:
    """West's server was changed, east's was not, and nobody could write down anything."""
    servers.make(NAMES)
    servers.kill("east")
    servers.perform(step(servers.kind(), Verb.REDIRECT), *TO_WEST)
    servers.evidence = []


def test_the_sources_server_is_told_by_who_goes_on(servers: Servers) -> None:
    """It is there and gives the old addresses: that is not "done already". Afterwards both agree; the old TTL is waited for, and a rollback
    leads back to the source."""
    half_told(servers)
    servers.start("east")
    redirect = step(servers.kind(), Verb.REDIRECT)
    assert redirect.operation.observe(servers.context(redirect, *TO_WEST)).look is Look.NEEDED
    assert servers.perform(redirect, *TO_WEST).look is Look.DONE
    for region in LEADS:
        assert servers.answer(region, f"{NAMES[0]}.example.test") == {LEADS["west"]}
    found = redirected(servers)
    assert (found.names, found.not_reached, found.still_answers) == (len(NAMES), (), False)
    assert found.old_ttl.total_seconds() == 1
    assert found.before == {}, "what stood there before whoever died is not known; the addresses of the target are not it"
    redirect.operation.undo(servers.context(redirect, *TO_WEST))
    for region in LEADS:
        assert servers.answer(region, f"{NAMES[0]}.example.test") == {LEADS["east"]}


@pytest.mark.parametrize("silent", [False, True], ids=["dead", "silent"])
def test_a_sources_server_that_cannot_be_asked_is_named_again(silent: bool, servers: Servers) -> None:
    """As it was by who died: a silent one may still lead people to the source, and the loss is not known then; a dead one does not."""
    half_told(servers)
    if silent:
        servers.start("east")
        servers.freeze("east")
    # a frozen one is waited for as long as in production, a dead one is heard of at once
    redirect = step(servers.kind(source_timeout="500ms") if silent else servers.kind(), Verb.REDIRECT)
    try:
        assert servers.perform(redirect, *TO_WEST).look is Look.DONE
    finally:
        if silent:
            servers.thaw("east")
    found = redirected(servers)
    assert len(found.not_reached) == 1
    assert found.still_answers is silent
