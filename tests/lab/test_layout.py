"""Places: the code's layout, the runbook's words and the account's reach agree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dr.errors import LabError
from dr.lab import account, credentials, layout, reach
from dr.lab.account import Account
from dr.lab.layout import Layout, deployments
from dr.lab.link_control import link_config
from dr.lab.parts import Programs
from tests.conftest import PROJECT

NOBODY = Account("nobody", 65534, 65534)


def _runbook() -> dict[str, object]:
    loaded = YAML(typ="safe").load(PROJECT / "runbooks" / "lab.yaml")
    assert isinstance(loaded, dict)
    return loaded


def _at(runbook: object, *path: str) -> object:
    for key in path:
        assert isinstance(runbook, dict), path
        runbook = runbook[key]
    return runbook


@pytest.mark.parametrize("name", layout.REGIONS)
def test_runbook_names_what_the_lab_starts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address, port and path that runbooks/lab.yaml gives for a region is the lab's own."""
    monkeypatch.delenv(layout.STATE_VARIABLE, raising=False)
    lab, runbook = Layout.find(PROJECT / "runbooks"), _runbook()
    region = lab.region(name)
    base = PROJECT / "runbooks"

    def path(*keys: str) -> Path:
        return Path(os.path.normpath(base / str(_at(runbook, *keys))))

    script = _at(runbook, "regions", name, "host", "exec")
    assert isinstance(script, list)
    assert [Path(os.path.normpath(base / word)) for word in script] == [region.exec]
    assert _at(runbook, "components", "metadata-db", "regions", name) == {
        "address": region.address, "port": layout.POSTGRES_PORT, "follows": {"address": region.link, "port": layout.POSTGRES_PORT},
    }  # fmt: skip
    assert _at(runbook, "components", "deployments", "regions", name) == {
        "address": region.address, "port": layout.PUBLIC_PORT, "control": f"https://{region.address}:{layout.CONTROL_PORT}",
    }  # fmt: skip
    assert _at(runbook, "components", "dns", "regions", name) == {
        "server": region.address, "port": layout.DNS_PORT, "address": region.address,
    }  # fmt: skip
    assert path("components", "deployments", "certificates", name) == region.tls


def test_runbook_names_the_labs_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credential files, the zone, the key and the database that the runbook names are those that the lab makes."""
    monkeypatch.delenv(layout.STATE_VARIABLE, raising=False)
    lab, runbook = Layout.find(PROJECT), _runbook()
    files = {
        ("metadata-db", "password", "file"): lab.secret(credentials.POSTGRES_DR),
        ("deployments", "control_token", "file"): lab.secret(credentials.CONTROL),
        ("deployments", "certificate_authority"): lab.authority,
        ("dns", "tsig", "key", "file"): lab.secret(credentials.TSIG),
    }
    named = {keys: Path(os.path.normpath(PROJECT / "runbooks" / str(_at(runbook, "components", *keys)))) for keys in files}
    assert named == files
    assert _at(runbook, "home") == layout.HOME
    assert _at(runbook, "components", "metadata-db", "database") == layout.PLATFORM_DATABASE
    assert _at(runbook, "components", "dns", "zone") == layout.ZONE
    assert _at(runbook, "components", "dns", "tsig", "name") == layout.TSIG_NAME
    assert _at(runbook, "components", "dns", "tsig", "algorithm") == layout.TSIG_ALGORITHM


def test_partitions_runbook_differs_in_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """runbooks/lab-partition.yaml is lab.yaml but for where dr asks region east: every such place is the door, and nothing else is."""
    monkeypatch.delenv(layout.STATE_VARIABLE, raising=False)
    region = Layout.find(PROJECT).region("east")
    whole, parted = (list(_leaves(YAML(typ="safe").load(PROJECT / "runbooks" / f"{name}.yaml"))) for name in ("lab", "lab-partition"))
    assert [path for path, _ in whole] == [path for path, _ in parted]
    changed = {path: (before, after) for (path, before), (_, after) in zip(whole, parted, strict=True) if before != after}
    assert changed == {
        path: (before, before.replace(region.address, region.door))
        for path, before in whole
        if isinstance(before, str) and region.address in before and path != "components.dns.regions.east.address"  # where names lead users
    }
    assert len(changed) == 4


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}".lstrip("."))
    else:
        yield path, value


def test_doors_lead_to_every_server_of_their_region(tmp_path: Path) -> None:
    """Each door has an address of its own and serves every port of its region, those of the extra parts too; names over both protocols."""
    lab = Layout(tmp_path / "state", tmp_path / "state")
    credentials.make_secrets(lab)
    config = link_config(lab, None, [18200, 18600])
    assert {door.region: (door.address, door.to_address) for door in config.doors} == {
        region.name: (region.door, region.address) for region in lab.regions
    }
    for door in config.doors:
        assert {18200, 18600, layout.POSTGRES_PORT, layout.DNS_PORT, layout.PUBLIC_PORT, layout.CONTROL_PORT} == set(door.tcp)
        assert door.udp == (layout.DNS_PORT,)
    assert len({place for region in lab.regions for place in (region.address, region.link, region.door)}) == 6


def test_ports_are_below_the_ephemeral_range() -> None:
    """No outgoing connection can take a port of the lab: 32768 is where Linux starts."""
    ports = (layout.POSTGRES_PORT, layout.DNS_PORT, layout.PUBLIC_PORT, layout.CONTROL_PORT, layout.LINK_CONTROL[1])
    assert max(ports) < 32768


def test_eighty_deployments_share_nothing() -> None:
    """Ids, names, namespaces, databases and all hostnames of 80 Deployments are different, and in the zone."""
    everyone = deployments(80)
    for values in ([item.id for item in everyone], [item.namespace for item in everyone], [item.database for item in everyone]):
        assert len(set(values)) == 80
    hostnames = [name for item in everyone for name in item.hostnames]
    assert len(set(hostnames)) == 240
    assert all(name.endswith(f".{layout.ZONE}") for name in hostnames)


def test_state_is_found_from_anywhere_in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state directory lies beside the nearest runbooks folder above; the environment overrides it."""
    monkeypatch.delenv(layout.STATE_VARIABLE, raising=False)
    (tmp_path / "runbooks" / "deep").mkdir(parents=True)
    assert Layout.find(tmp_path / "runbooks" / "deep").state == tmp_path / "lab-state"
    assert Layout.find(tmp_path).state == tmp_path / "lab-state"
    monkeypatch.setenv(layout.STATE_VARIABLE, str(tmp_path / "other"))
    assert Layout.find(tmp_path).state == tmp_path / "other"


def test_data_moves_where_the_account_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a directory that the servers' account cannot pass, data goes to a place of its own; else it stays in the state directory."""
    closed, state = tmp_path / "closed", tmp_path / "closed" / "lab-state"
    closed.mkdir(mode=0o700)
    stranger = Account("stranger", closed.stat().st_uid + 4242, 4242)
    monkeypatch.setattr(account, "servers_account", lambda: stranger)
    moved = account.place_of_data(state)
    assert moved.parent == Path("/var/tmp")
    assert moved != account.place_of_data(tmp_path / "closed" / "another")
    monkeypatch.setattr(account, "servers_account", lambda: None)
    assert account.place_of_data(state) == state


def test_directory_of_a_stranger_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put into a directory that somebody else made under the predictable name."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(LabError, match="belongs to uid"):
        account.own(tmp_path, None)


def _script(tmp_path: Path) -> tuple[layout.RegionLayout, dict[str, str]]:
    region = Layout(tmp_path / "it's a state", tmp_path / "it's a state").region("east")
    region.directory.mkdir(parents=True)
    variables = reach.environment(region, Programs(Path("/opt/pg bin"), Path("/opt/knotd"), ""), "m1", str(tmp_path))
    reach.write_exec(region, variables, None)
    return region, variables


def test_exec_answers_255_while_the_region_is_not_reachable(tmp_path: Path) -> None:
    """The script says what ssh would say, exits 255, and runs nothing."""
    region, _ = _script(tmp_path)
    done = subprocess.run([region.exec, "touch", str(tmp_path / "ran")], capture_output=True, text=True, check=False)
    assert done.returncode == 255
    assert done.stderr.startswith("ssh: connect to host east")
    assert not (tmp_path / "ran").exists()


def test_exec_runs_its_arguments_unchanged_in_the_region(tmp_path: Path) -> None:
    """Arguments with spaces and quotes arrive as they are; directory, environment and exit status are the region's."""
    region, variables = _script(tmp_path)
    reach.connect(region)
    script = 'printf "%s|" "$@"; pwd; printf "%s|%s|%s" "$PGDATA" "$PATH" "$SECRET"; exit 7'
    done = subprocess.run(
        [region.exec, "sh", "-c", script, "sh", "a b", "it's", "$HOME"], capture_output=True, text=True, check=False,
        env={"SECRET": "planted"},
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first == f"a b|it's|$HOME|{region.data}"
    assert second == f"{region.pgdata}|{variables['PATH']}|"
    assert done.returncode == 7
    reach.disconnect(region)
    assert subprocess.run([region.exec, "true"], capture_output=True, check=False).returncode == 255


def test_exec_gets_no_answer_from_a_silent_region(tmp_path: Path) -> None:
    """Packets vanish: the command waits, runs nothing, and gets through when they do again; as with ssh without a time limit."""
    region, _ = _script(tmp_path)
    reach.connect(region)
    reach.silence(region)
    ran = tmp_path / "ran"
    with subprocess.Popen([region.exec, "touch", str(ran)]) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        assert not ran.exists()
        reach.connect(region)
        assert waiting.wait(20) == 0
    assert ran.exists()
    reach.silence(region)
    reach.disconnect(region)
    assert subprocess.run([region.exec, "true"], capture_output=True, check=False, timeout=20).returncode == 255


def test_secrets_are_private_and_new_each_time(tmp_path: Path) -> None:
    """Every secret is 0600 in a 0700 directory, and no two labs share one; models that carry one do not show it."""
    lab = Layout(tmp_path / "state", tmp_path / "state")
    credentials.make_secrets(lab)
    before = {path.name: path.read_text() for path in lab.secrets.iterdir()}
    assert lab.secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in lab.secrets.iterdir()} == {0o600}
    assert before[credentials.LINK].strip() not in repr(link_config(lab, None))
    credentials.make_secrets(lab)
    assert all(path.read_text() != before[path.name] for path in lab.secrets.iterdir())
