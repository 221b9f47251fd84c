"""The lab with real servers: what is up is up, what is killed is dead, what comes back is as it was, and nothing is ever left over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.tsigkeyring
import dns.update
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from dr.errors import LabError, Refused, UsageError
from dr.lab import credentials, processes
from dr.lab.lab import Lab
from dr.lab.layout import CONTROL_PORT, DNS_PORT, POSTGRES_PORT, TSIG_ALGORITHM, TSIG_NAME, ZONE, deployments
from dr.lab.link_control import link_status
from dr.lab.postgres_server import ORCHESTRATOR
from dr.lab.servers import occupied
from dr.model.scenario import Fault
from dr.ports import Clock
from tests.conftest import PROJECT, WORKLOAD

pytestmark = pytest.mark.lab
EAST, WEST = "127.0.10.1", "127.0.20.1"


def _fault(**what: object) -> Fault:
    return Fault.model_validate({"at": "0s", **what})


def _until(condition: Callable[[], bool], clock: Clock, seconds: float = 30) -> bool:
    deadline = clock.monotonic() + seconds
    while not (holds := condition()) and clock.monotonic() < deadline:
        clock.sleep(0.02)
    return holds


def _query(lab: Lab, region: str, statement: str, database: str = "platform") -> list[tuple[object, ...]]:
    server = lab.servers().postgres_of(lab.layout.region(region))
    with psycopg.connect(server.conninfo(database, ORCHESTRATOR), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return list(cursor.fetchall()) if cursor.description else []


def _resolve(server: str, name: str) -> list[str]:
    answer = dns.query.udp(dns.message.make_query(name, "A"), server, port=DNS_PORT, timeout=2)
    return [item.to_text() for record in answer.answer for item in record]


def _update(lab: Lab, server: str, name: str, address: str, *, signed: bool = True) -> int:
    update = dns.update.UpdateMessage(ZONE)
    if signed:
        keys = dns.tsigkeyring.from_text({TSIG_NAME: credentials.read_secret(lab.layout, credentials.TSIG)})
        update.use_tsig(keys, algorithm=TSIG_ALGORITHM)
    update.replace(name.removesuffix(f".{ZONE}"), 1, "A", address)
    return dns.query.tcp(update, server, port=DNS_PORT, timeout=5).rcode()


def _exec(lab: Lab, region: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([lab.layout.region(region).exec, *argv], capture_output=True, text=True, check=False, timeout=60)


def _states(lab: Lab, region: str | None = None) -> set[str]:
    return {server.state for server in lab.status().servers if region in (None, server.region)}


def test_everything_runs(lab: Lab) -> None:
    """After ``up`` every server of both regions, the link, the agent and the client run, and both hosts are reachable."""
    status = lab.status()
    assert status.state == "up"
    assert {server.name for server in status.servers} == {
        "agent", "client", "link", "east.postgres", "east.dns", "east.runtime", "west.postgres", "west.dns", "west.runtime",
    }  # fmt: skip
    assert _states(lab) == {"running"}
    assert status.reachable == {"east": True, "west": True}


def test_nothing_runs_as_root(lab: Lab) -> None:
    """No process of the lab has root's uid, whoever started it."""
    record = lab.running()
    everyone = processes.marked(record.mark)
    status = [Path(f"/proc/{process.pid}/status").read_text() for process in everyone]
    owners = {line.split()[2] for text in status for line in text.splitlines() if line.startswith("Uid:")}
    assert len(everyone) >= 9
    assert "0" not in owners


def test_standby_streams_through_link_and_slot(lab: Lab, clock: Clock) -> None:
    """A row that the primary committed becomes readable in the standby, which uses the slot of its region and the link."""
    _query(lab, "east", "CREATE TABLE IF NOT EXISTS public.lab_probe (n int)")
    _query(lab, "east", "INSERT INTO public.lab_probe VALUES (42)")
    assert _until(lambda: _query(lab, "west", "SELECT to_regclass('public.lab_probe') IS NOT NULL") == [(True,)], clock)
    assert _until(lambda: (42,) in _query(lab, "west", "SELECT n FROM public.lab_probe"), clock)
    _query(lab, "east", "DROP TABLE public.lab_probe")
    assert _query(lab, "west", "SELECT pg_is_in_recovery()") == [(True,)]
    assert _query(lab, "east", "SELECT slot_name::text, active FROM pg_replication_slots") == [("west", True)]
    assert _query(lab, "east", "SELECT client_addr::text FROM pg_stat_replication") == [("127.0.20.9/32",)]
    assert link_status(lab.layout).bytes_delivered["west-to-east"] > 0


def test_orchestrators_role_may_do_its_work_and_no_more(lab: Lab) -> None:
    """``dr`` is no superuser, may checkpoint, read files for pg_rewind and promote; it owns the databases."""
    assert _query(lab, "east", "SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = 'dr'") == [(False, True)]
    _query(lab, "east", "CHECKPOINT")
    for database in ("postgres", "platform", "airflow_001"):
        rights = "SELECT has_function_privilege('pg_promote(boolean, integer)', 'EXECUTE'), length(pg_read_binary_file('PG_VERSION')) > 0"
        assert _query(lab, "east", rights, database) == [(True, True)]
    assert _query(lab, "east", "SELECT count(*) FROM pg_database WHERE datname LIKE 'airflow_0%' AND datdba = 'dr'::regrole") == [(5,)]


def test_passwords_are_asked_for(lab: Lab) -> None:
    """Without the password nobody gets in."""
    address = make_conninfo(host=EAST, port=POSTGRES_PORT, user="postgres", dbname="postgres", password="guess", connect_timeout=5)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address)


def test_host_commands_reach_the_regions_database(lab: Lab) -> None:
    """``exec`` finds PostgreSQL's programs and PGDATA, and needs no password on a command line."""
    assert _exec(lab, "east", "pg_ctl", "status").returncode == 0
    controlled = _exec(lab, "west", "pg_controldata").stdout
    assert "in archive recovery" in controlled
    dump = _exec(lab, "east", "pg_dump", "-h", EAST, "-p", str(POSTGRES_PORT), "-U", "dr", "-w", "--schema-only", "platform")
    assert "CREATE TABLE public.deployment" in dump.stdout


@pytest.mark.parametrize("server", [EAST, WEST])
def test_both_name_servers_lead_home_at_first(lab: Lab, server: str) -> None:
    """Every hostname of every Deployment leads to the home region, at both servers."""
    names = [name for item in deployments(WORKLOAD.deployments) for name in item.hostnames]
    assert {name: _resolve(server, name) for name in names} == {name: [EAST] for name in names}


def test_signed_update_is_taken_and_unsigned_refused(lab: Lab, clock: Clock) -> None:
    """One server's zone changes by a signed update only; the other server knows nothing of it."""
    name = f"probe.{ZONE}"
    assert _update(lab, WEST, name, WEST, signed=False) == dns.rcode.NOTAUTH
    assert _resolve(WEST, name) == []
    assert _update(lab, WEST, name, WEST) == dns.rcode.NOERROR
    assert _until(lambda: _resolve(WEST, name) == [WEST], clock)
    assert _resolve(EAST, name) == []


def test_second_lab_is_refused(lab: Lab) -> None:
    """``up`` where a lab runs touches nothing and says what to type."""
    before = lab.records.all()
    with pytest.raises(Refused, match="a lab is running") as refusal:
        lab.up(WORKLOAD)
    assert "dr lab down" in refusal.value.hint
    assert lab.records.all() == before
    assert _states(lab) == {"running"}


def test_lab_of_another_directory_is_refused_by_name(lab: Lab, tmp_path: Path) -> None:
    """The addresses are fixed: a second state directory is refused, and the message names the lab that has them."""
    other = Lab(type(lab.layout)(tmp_path / "state", tmp_path / "state"), lab.clock)
    with pytest.raises(Refused, match=str(lab.layout.state)) as refusal:
        other.up(WORKLOAD)
    assert f"DR_LAB_STATE={lab.layout.state} dr lab down" in refusal.value.hint
    assert other.status().state == "down"


def test_unknown_targets_are_refused(lab: Lab) -> None:
    """A region or server that the lab does not have is an error that lists those it has."""
    for target in ({"region": "north"}, {"region": "east", "server": "redis"}, {"server": "redis"}):
        with pytest.raises(UsageError) as refusal:
            lab.inject(_fault(kill=target))
        assert "expected one of" in refusal.value.hint
    assert _states(lab) == {"running"}


def test_held_server_is_held_until_it_is_let_go(lab: Lab) -> None:
    """A frozen server answers nobody though it is there; thawed, it goes on."""
    lab.inject(_fault(freeze={"region": "west", "server": "dns"}))
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query(f"{ZONE}.", "SOA"), WEST, port=DNS_PORT, timeout=0.3)
    assert "held" in _states(lab, "west")
    lab.inject(_fault(thaw={"region": "west", "server": "dns"}))
    assert _resolve(WEST, deployments(1)[0].hostname_ui) == [EAST]


def test_slow_region_is_told(lab: Lab) -> None:
    """The fault reaches the region's runtime; taken back it leaves nothing behind."""
    lab.inject(_fault(slow={"region": "west", "server": "runtime", "by": "1h"}))
    lab.inject(_fault(slow={"region": "west", "server": "runtime", "by": "0s"}))
    lab.inject(_fault(freeze={"region": "west", "server": "runtime"}))
    with pytest.raises(LabError, match="runtime of west does not answer"):
        lab.inject(_fault(slow={"region": "west", "server": "runtime", "by": "1h"}))
    lab.inject(_fault(thaw={"region": "west", "server": "runtime"}))


def test_cut_region_lives_and_takes_no_command(lab: Lab) -> None:
    """A cut region serves on, and commands get no answer, neither yes nor no, until it is brought back."""
    lab.inject(_fault(cut={"region": "west"}))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([lab.layout.region("west").exec, "true"], timeout=0.5, check=False)
    assert not lab.status().reachable["west"]
    assert _states(lab, "west") == {"running"}
    lab.inject(_fault(bring_back={"region": "west"}))
    assert _exec(lab, "west", "true").returncode == 0


def test_cut_region_is_silent_behind_its_door_and_nowhere_else(lab: Lab) -> None:
    """Through the door nothing is answered and nothing refused, while the region's own address serves; brought back, both do."""
    region = lab.layout.region("west")
    assert _knock(region.door) == "served"
    lab.inject(_fault(cut={"region": "west"}))
    assert (_knock(region.door), _knock(region.address)) == ("silent", "served")
    lab.inject(_fault(bring_back={"region": "west"}))
    assert _knock(region.door) == "served"


def _knock(address: str) -> str:
    try:
        socket.create_connection((address, CONTROL_PORT), timeout=0.3).close()
    except TimeoutError:
        return "silent"
    return "served"


def test_blackholed_link_stops_replication_and_heals(lab: Lab, clock: Clock) -> None:
    """Through a blackhole no row arrives; when it heals, the row arrives without anybody's help."""
    lab.inject(_fault(link={"blackhole": True}))
    try:
        _query(lab, "east", "CREATE TABLE public.blackhole_probe (n int)")
        assert _query(lab, "west", "SELECT to_regclass('public.blackhole_probe') IS NULL") == [(True,)]
    finally:
        lab.inject(_fault(link={}))
    assert _until(lambda: _query(lab, "west", "SELECT to_regclass('public.blackhole_probe') IS NOT NULL") == [(True,)], clock)
    _query(lab, "east", "DROP TABLE public.blackhole_probe")


def test_killed_region_is_dead_and_comes_back_writable(fresh_lab: Lab) -> None:
    """Nothing of a killed region is alive, no command gets through, one under way is gone too. Brought back, its database is writable
    with everything that it acknowledged, and its zone is the old one."""
    lab = fresh_lab
    name = f"probe.{ZONE}"
    assert _update(lab, EAST, name, EAST) == dns.rcode.NOERROR
    _query(lab, "east", "CREATE TABLE public.kept (n int)")
    command = [str(lab.layout.region("east").exec), "sh", "-c", "echo started; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as under_way:
        assert under_way.stdout is not None
        assert under_way.stdout.readline() == b"started\n"
        at = lab.inject(_fault(kill={"region": "east"}))
        assert under_way.wait(10) == -signal.SIGKILL
    assert at <= lab.clock.now()
    assert _states(lab, "east") == {"dead"}
    assert processes.marked(lab.running().mark, "east") == []
    assert _exec(lab, "east", "true").returncode == 255
    assert _states(lab, "west") == {"running"}
    with pytest.raises(psycopg.OperationalError):
        _query(lab, "east", "SELECT 1")

    lab.inject(_fault(bring_back={"region": "east"}))
    assert _states(lab, "east") == {"running"}
    assert _query(lab, "east", "SELECT pg_is_in_recovery(), to_regclass('public.kept') IS NOT NULL") == [(False, True)]
    assert _resolve(EAST, name) == [EAST]
    assert _exec(lab, "east", "true").returncode == 0


def test_server_that_a_run_started_again_is_still_the_labs(fresh_lab: Lab) -> None:
    """PostgreSQL stopped and started by commands on the host is found, killed and ended like the first one."""
    lab = fresh_lab
    assert _exec(lab, "east", "pg_ctl", "stop", "-m", "immediate").returncode == 0
    assert "dead" in _states(lab, "east")
    log = str(lab.layout.region("east").postgres / "log")
    assert _exec(lab, "east", "pg_ctl", "start", "-w", "-l", log).returncode == 0
    assert _states(lab, "east") == {"running"}
    lab.inject(_fault(kill={"region": "east", "server": "postgres"}))
    with pytest.raises(psycopg.OperationalError):
        _query(lab, "east", "SELECT 1")


_STARTER = """
import sys, os, signal
from pathlib import Path
from dr.lab.lab import Lab
from dr.lab.layout import Layout
from dr.model.scenario import Workload
from dr.providers.system import SystemClock
lab = Lab(Layout.find(Path(sys.argv[1])), SystemClock())
when, number = sys.argv[2], int(sys.argv[3])
def say(text):
    print(text, flush=True)
    if when in text:
        os.kill(os.getpid(), number)
lab.up(Workload(deployments=2, running_tasks=4), say, owned=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _start_and_die(when: str, number: signal.Signals = signal.SIGKILL) -> None:
    argv = [sys.executable, "-c", _STARTER, str(PROJECT), when, str(int(number))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -number, done.stderr


def _shared_memory(lab: Lab) -> set[str]:
    """The System V segments that the lab's PostgreSQL servers have now; one that is killed leaves its own behind."""
    files = (region.pgdata / "postmaster.pid" for region in lab.layout.regions)
    return {path.read_text().splitlines()[6].split()[1] for path in files if path.exists()}


def _nothing_left(lab: Lab, mark: str, segments: set[str]) -> None:
    assert processes.marked(mark) == []
    assert occupied(lab.layout) == ()
    assert lab.status().state == "down"
    assert lab.records.all() == []
    assert not lab.layout.region("east").pgdata.exists()
    assert not lab.layout.region("west").pgdata.exists()
    assert segments != set()
    assert segments & {row.split()[1] for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]} == set()


@pytest.mark.parametrize("when", ["PostgreSQL of east answers", "at the very end"])
def test_kill_of_the_starter_leaves_nothing_after_down(no_lab: Lab, when: str) -> None:
    """A starter killed in the middle, or when everything is up, leaves servers; ``down`` of another process ends them all."""
    _start_and_die(when)
    record = no_lab.records.lab()
    assert record is not None
    assert processes.marked(record.mark) != []
    assert no_lab.status().state in ("broken", "up")
    segments = _shared_memory(no_lab)
    assert no_lab.down().ok
    _nothing_left(no_lab, record.mark, segments)
    assert no_lab.down().ok


def test_interrupted_up_leaves_nothing(no_lab: Lab) -> None:
    """Ctrl-C while the lab starts ends what has started before the process ends."""
    _start_and_die("PostgreSQL of east answers", signal.SIGINT)
    assert no_lab.status().state == "down"
    assert no_lab.records.all() == []
    assert occupied(no_lab.layout) == ()


def test_next_up_clears_what_a_killed_drill_left(no_lab: Lab) -> None:
    """``up`` after a killed drill ends its servers first and starts new ones; ``down`` after faults leaves nothing."""
    _start_and_die("at the very end")
    left = no_lab.records.lab()
    assert left is not None
    no_lab.up(WORKLOAD, owned=True)
    mark = no_lab.running().mark
    assert processes.marked(left.mark) == []
    no_lab.inject(_fault(freeze={"region": "west"}))
    no_lab.inject(_fault(kill={"region": "east"}))
    segments = _shared_memory(no_lab)
    assert no_lab.down().ok
    _nothing_left(no_lab, mark, segments)


def test_up_that_fails_leaves_nothing(no_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a part does not start, the parts that did are ended, and the error says which."""

    marks: list[str] = []
    segments: set[str] = set()

    def broken(*_arguments: object, **_named: object) -> None:
        record = no_lab.records.lab()
        assert record is not None
        marks.append(record.mark)
        segments.update(_shared_memory(no_lab))
        raise LabError("planted failure", hint="none")

    monkeypatch.setattr("dr.lab.lab.seed", broken)
    with pytest.raises(LabError, match="planted failure"):
        no_lab.up(WORKLOAD, owned=True)
    assert len(marks) == 1
    _nothing_left(no_lab, marks[0], segments)


def test_lab_in_a_place_that_the_servers_cannot_reach(no_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a private directory, and with a path longer than a socket's name may be, the lab comes up and leaves nothing behind."""
    monkeypatch.setenv("DR_LAB_STATE", str(tmp_path / ("long" * 30) / "lab-state"))
    tmp_path.chmod(0o700)
    lab = Lab(type(no_lab.layout).find(tmp_path), no_lab.clock)
    try:
        lab.up(WORKLOAD, owned=True)
        assert _states(lab) == {"running"}
        assert _exec(lab, "east", "pg_ctl", "status").returncode == 0
        assert (lab.layout.data != lab.layout.state) == (os.geteuid() == 0)
    finally:
        mark, segments = lab.running().mark, _shared_memory(lab)
        assert lab.down().ok
    _nothing_left(lab, mark, segments)
    assert lab.layout.data == lab.layout.state or not lab.layout.data.exists()
