"""tls-certificates as a component: findings that refuse a move to their region only, a step that blocks, an account, and debt."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from dr.engine import guards
from dr.engine.attempt import attempt
from dr.errors import StepError, Transient, UsageError
from dr.model.evidence import Accounted
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Outcome, Severity, Verb, Verdict
from dr.ports import Kind
from dr.providers.selfhosted.certificates import TlsCertificates
from dr.providers.selfhosted.certificates.config import CertificatesConfig
from tests.certificates.authority import LONG, Signer, public
from tests.generic.served import CLOCK, HttpServer, World, context, says, step_of

NAMES = [f"n{number}.example.test" for number in range(6)]


class Platform:
    """A component with public names; a region that is lost lists none."""

    def __init__(self, names: Sequence[str], lost: str = "") -> None:
        self.names, self.lost = names, lost

    def hostnames(self, region: str) -> Sequence[str]:
        if region == self.lost:
            raise Transient(f"{region} is not reachable")
        return self.names


@pytest.fixture
def root() -> Signer:
    return Signer("root", until=CLOCK.now() + 10 * LONG)


@pytest.fixture
def world(tmp_path: Path, root: Signer) -> World:
    (tmp_path / "ca.pem").write_bytes(public(root.certificate))
    for region in ("east", "west"):
        for name in NAMES:
            write(root, tmp_path, region, name)
    return World(tmp_path, peers={"deployments": cast("Kind", Platform(NAMES))})


def write(root: Signer, base: Path, region: str, name: str, *names: str, days: int = 90) -> None:
    now = CLOCK.now()
    root.write(base / region / f"{name}.pem", *(names or (name,)), since=now - LONG, until=now + LONG * days / 90)


def kind(world: World, **settings: object) -> TlsCertificates:
    given: dict[str, object] = {
        "certificate_authority": "ca.pem", "deployments": "deployments",
        "regions": {region: {"directory": region} for region in ("east", "west")},
    }  # fmt: skip
    return TlsCertificates("certificates", CertificatesConfig.model_validate(given | settings), [], world.site)


def verdicts(found: TlsCertificates, target: str) -> list[tuple[Verdict, str]]:
    said = guards.before_run(Intent.FAILOVER, "", target, [found.view()], {}, {}, (), reason="lost")
    return [(item.verdict, item.reason) for item in said if item.name is Guard.PREREQUISITES]


def test_nothing_to_mend(world: World) -> None:
    """All names in both regions; the component itself is nobody's primary."""
    view = kind(world).view()
    assert (view.findings, dict(view.regions), view.lag) == ((), {}, None)
    assert verdicts(kind(world), "west")[0][0] is Verdict.PASSED


def test_a_flaw_refuses_only_moves_to_its_region(world: World, root: Signer) -> None:
    """A failover never needs the lost region, its certificates neither; but everybody is told of them."""
    (world.base / "west" / f"{NAMES[2]}.pem").unlink()
    write(root, world.base, "east", NAMES[1], days=-1)
    found = kind(world)
    assert [(item.severity, item.region) for item in found.view().findings] == [(Severity.ERROR, "east"), (Severity.ERROR, "west")]
    [(verdict, reason)] = verdicts(found, "west")
    assert verdict is Verdict.REFUSED
    assert f"{NAMES[2]}: no certificate in west" in reason and "install a new certificate" in reason
    assert f"{NAMES[1]}: certificate expired" in verdicts(found, "east")[0][1]


def test_soon_to_expire_is_a_warning(world: World, root: Signer) -> None:
    """Fourteen days unless the runbook says otherwise."""
    write(root, world.base, "west", NAMES[0], days=13)
    [finding] = kind(world).view().findings
    assert finding.severity is Severity.WARNING and "expires in" in finding.fact
    assert kind(world, min_validity="240h").view().findings == ()
    assert verdicts(kind(world), "west")[0][0] is Verdict.PASSED


def test_many_flaws_are_counted(world: World) -> None:
    """Ten are named, the rest is a number: a list of hundreds helps nobody at 03:00."""
    world.peers["deployments"] = cast("Kind", Platform([*NAMES, *(f"gone{number}.test" for number in range(30))]))
    found = [item for item in kind(world).view().findings if item.region == "west"]
    assert len(found) == 11
    assert found[-1].fact == "20 more names in west have such certificates" and found[-1].severity is Severity.ERROR


@pytest.mark.parametrize("lost", ["east", "west"])
def test_a_lost_region_needs_not_be_asked(world: World, lost: str) -> None:
    """The names that any region lists are enough."""
    world.peers["deployments"] = cast("Kind", Platform([*NAMES, "new.test"], lost))
    assert len(kind(world).view().findings) == 2


def test_nobody_lists_names(world: World) -> None:
    """A warning with the reason; what was listed before, and what the runbook names, is still looked at."""
    platform = Platform([*NAMES, "new.test"])
    world.peers["deployments"] = cast("Kind", platform)
    found = kind(world, hostnames=["extra.test"])
    assert len(found.view().findings) == 4
    platform.hostnames = _unreachable  # type: ignore[method-assign]
    facts = [item.fact for item in found.view().findings]
    assert len(facts) == 5 and "not reachable" in facts[0]
    assert len(kind(world, hostnames=["extra.test"]).view().findings) == 3


def _unreachable(region: str) -> Sequence[str]:
    raise Transient(f"{region} is not reachable")


def test_the_step_accounts_for_every_name(world: World) -> None:
    """Before a move: in the target, and good."""
    step = step_of(kind(world))
    result = attempt(step.operation, context(step))
    assert result.outcome is Outcome.DONE
    [account] = result.evidence
    assert isinstance(account, Accounted)
    assert (account.region, account.checked, account.equal, account.missing_total, account.complete) == ("west", 6, 6, 0, True)
    assert account.items_path is None
    assert (step.spec.verb, step.spec.region, step.spec.optional) == (Verb.PREPARE, "west", False)
    assert "openssl verify -CAfile" in step.spec.by_hand and step.spec.check_by_hand


def test_the_step_blocks_on_what_would_not_work(world: World, root: Signer) -> None:
    """I13: it names the names and the fix; a named person may accept it, and then it stands in the account."""
    (world.base / "west" / f"{NAMES[2]}.pem").unlink()
    write(root, world.base, "west", NAMES[3], "other.test")
    step = step_of(kind(world))
    blocked = attempt(step.operation, context(step))
    assert blocked.outcome is Outcome.FAILED
    assert f"{NAMES[2]}: no certificate in west; {NAMES[3]}: the certificate there is for other names" in blocked.reason
    assert "dr resume run-1 --accept prerequisites" in blocked.reason
    said = Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="may wait", at=CLOCK.now())
    accepted = attempt(step.operation, context(step, acceptances=(said,)))
    assert accepted.outcome is Outcome.DONE
    account = accepted.evidence[-1]
    assert isinstance(account, Accounted)
    assert (account.missing, account.differing, account.equal) == ((NAMES[2],), (NAMES[3],), 4)
    rows = [json.loads(line) for line in Path(account.items_path or "").read_text().splitlines()]
    assert [row["hostname"] for row in rows] == [NAMES[2], NAMES[3]]


def test_after_a_move_the_other_side_is_owed_not_demanded(world: World) -> None:
    """Re-protect: it looks at the side that came back; a flaw there is in the account, which is debt, and fails nothing."""
    (world.base / "east" / f"{NAMES[2]}.pem").unlink()
    [step] = kind(world).steps(Intent.REPROTECT, "east", "west")
    result = attempt(step.operation, context(step, intent=Intent.REPROTECT))
    assert result.outcome is Outcome.DONE and step.spec.optional
    [account] = result.evidence
    assert isinstance(account, Accounted) and (account.region, account.missing) == ("east", (NAMES[2],))


def test_eighty_deployments_are_looked_at_once(tmp_path: Path, root: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred and forty names in both regions: the second view reads no file."""
    (tmp_path / "ca.pem").write_bytes(public(root.certificate))
    names = [f"d{number}.{part}.test" for number in range(80) for part in ("ui", "api", "remote")]
    for region in ("east", "west"):
        write(root, tmp_path, region, "all", *names)
    world = World(tmp_path, peers={"deployments": cast("Kind", Platform(names))})
    found = kind(world, certificate_file="all.pem")
    assert found.view().findings == ()
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was read again"))
    assert found.view().findings == ()


# --- what is served -------------------------------------------------------------------------------------------------


@pytest.fixture
def served(world: World) -> Iterator[HttpServer]:
    with HttpServer(says({}), pem=world.base / "west" / f"{NAMES[0]}.pem") as server:
        yield server


def asking(world: World, port: int, names: Sequence[str]) -> TlsCertificates:
    world.peers["deployments"] = cast("Kind", Platform(names))
    return kind(world, regions={"east": {"directory": "east"}, "west": {"address": "127.0.0.1", "port": port}})


def test_what_is_served_is_judged_alike(world: World, root: Signer, served: HttpServer) -> None:
    """Asked by address with the name: the right certificate is good, the one of another name is not."""
    assert asking(world, served.port, [NAMES[0]]).view().findings == ()
    [finding] = asking(world, served.port, [NAMES[1]]).view().findings
    assert finding.fact == f"{NAMES[1]}: the certificate there is for other names in west"
    (world.base / "ca.pem").write_bytes(public(Signer("else", until=CLOCK.now() + LONG).certificate))
    facts = [item.fact for item in asking(world, served.port, [NAMES[0]]).view().findings if item.region == "west"]
    assert len(facts) == 1 and "is not trusted" in facts[0]


def test_an_expired_one_is_served(world: World, root: Signer) -> None:
    """The date is said, not only that it was refused."""
    write(root, world.base, "west", NAMES[0], days=-1)
    with HttpServer(says({}), pem=world.base / "west" / f"{NAMES[0]}.pem") as server:
        [finding] = asking(world, server.port, [NAMES[0]]).view().findings
    assert "certificate expired on" in finding.fact and finding.severity is Severity.ERROR


def test_with_files_and_an_endpoint_a_status_asks_only_the_files(world: World, served: HttpServer) -> None:
    """The step before a move asks both, and finds what is served wrong although the files are right."""
    world.peers["deployments"] = cast("Kind", Platform(NAMES[:2]))
    west = {"directory": "west", "address": "127.0.0.1", "port": served.port}
    found = kind(world, regions={"east": {"directory": "east"}, "west": west})
    assert found.view().findings == ()
    step = step_of(found)
    result = attempt(step.operation, context(step))
    assert result.outcome is Outcome.FAILED
    assert f"{NAMES[1]}: the certificate there is for other names in west" in result.reason


def test_nobody_serves(world: World) -> None:
    """A region that is not there: one warning, not one error for each name; the step tries again, for it may come up."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = asking(world, port, NAMES)
    [finding] = found.view().findings
    assert finding.severity is Severity.WARNING and "refused" in finding.fact.lower()
    step = step_of(found)
    assert attempt(step.operation, context(step)).outcome is Outcome.RETRY


def test_a_silent_region_does_not_hold_the_view(world: World) -> None:
    """It takes connections and says nothing: the view ends, and says what it could not see."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:  # connections are made, nobody takes them
        found = asking(world, silent.getsockname()[1], NAMES).view().findings
    assert len(found) == 1 and found[0].severity is Severity.WARNING


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"deployments": None}, "deployments or hostnames"),
        ({"regions": {"east": {}, "west": {"directory": "x"}}}, "directory or address"),
        ({"certificate_file": "../{hostname}.pem"}, "below the directory"),
        ({"certificate_file": "{name}.pem"}, "hostname"),
        ({"key_file": "/etc/{hostname}"}, "below the directory"),
        ({"min_validity": "14d"}, "duration"),
    ],
)
def test_settings_that_are_refused(world: World, settings: dict[str, object], text: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(ValueError, match=text):
        kind(world, **settings)


def test_regions_and_peers_must_fit(world: World) -> None:
    """The runbook's regions, and a component that has public names."""
    with pytest.raises(UsageError, match="north"):
        kind(world, regions={"east": {"directory": "x"}, "north": {"directory": "y"}})
    with pytest.raises(StepError, match="no component with public names"):
        kind(world, deployments="dns").hostnames("east")
