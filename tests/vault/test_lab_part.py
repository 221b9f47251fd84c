"""The lab's part ``secrets``: real stores that survive a lost region, tokens of least privilege, Deployments that use their keys."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from dr.errors import UsageError
from dr.lab.extras.openbao_server import MOUNT, NAME, OpenBaoServer
from dr.lab.extras.secrets import SecretStores, find_program
from dr.lab.lab import Lab
from dr.lab.layout import PUBLIC_PORT, deployments
from dr.model.scenario import Fault, Spoil, Target, Workload
from dr.providers.airflow.https import Answer, Https, Peer
from dr.providers.selfhosted.vault.store import Store
from dr.providers.selfhosted.vault.wire import Denied, Server
from tests.postgres.rig import poll

pytestmark = pytest.mark.lab
WORKLOAD = Workload(deployments=2, running_tasks=4, warm_up=timedelta(0), parts=("secrets",), secrets=10)


def check(lab: Lab, region: str, number: int = 1) -> Answer:
    """What a Deployment says of its connections in a region."""
    https = Https(lab.layout.authority)
    try:
        where = lab.layout.region(region)
        return https.request(Peer(where.address, PUBLIC_PORT, deployments(number)[-1].hostname_api), "GET", "/connections/check")
    finally:
        https.close()


def openbao(lab: Lab, region: str) -> OpenBaoServer:
    servers = lab.servers()
    program = find_program(servers.account)
    assert program is not None
    return OpenBaoServer(lab.layout, lab.layout.region(region), program, servers.account, servers.clock)


def contents(lab: Lab, region: str) -> dict[str, int]:
    store = openbao(lab, region).store()
    try:
        return {path: item.current for path, item in store.secrets(lambda _path: True, lambda work, paths: map(work, paths)).items()}
    finally:
        store.server.close()


def inject(lab: Lab, **fault: object) -> None:
    lab.inject(Fault.model_validate({"at": "0s", **fault}))


def test_the_part_from_its_start_to_a_lost_region(no_lab: Lab) -> None:
    """One start: seeded and copied, used by the Deployments, private, kept across SIGKILL, spoilt on request."""
    no_lab.up(WORKLOAD, owned=True)
    try:
        seeded_and_copied(no_lab)
        private(no_lab)
        used(no_lab)
        survives(no_lab)
        spoilt(no_lab)
    finally:
        assert no_lab.down().ok


def seeded_and_copied(lab: Lab) -> None:
    east, west = contents(lab, "east"), contents(lab, "west")
    assert east == west and len(east) == 10 + 2 * WORKLOAD.deployments
    assert east["shared/secret-005"] == 3, "some have several versions"


def private(lab: Lab) -> None:
    """Keys and tokens are files for their owner only, and each token may do what it is for."""
    files = [path for path in lab.layout.secrets.iterdir() if path.name.startswith(NAME)]
    assert len(files) == 8 and all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    for role, may, may_not in (("openbao-runtime", "pull/d-001", "shared/secret-001"), ("openbao", "pull/d-001", "")):
        token = lab.layout.secret(f"{role}-west").read_text().strip()
        server = Server("west", openbao(lab, "west").url, partial(str, token), lab.layout.authority, 5.0)
        store = Store(server, MOUNT, lab.clock.now)
        assert store.read(may) is not None
        with pytest.raises(Denied):
            server.ask("POST", "sys/seal", {})
        with pytest.raises(Denied):
            server.ask("DELETE", f"{MOUNT}/metadata/{may}")
        if may_not:
            with pytest.raises(Denied):
                store.read(may_not)
        server.close()


def used(lab: Lab) -> None:
    """In both regions, on the hot standby too, a Deployment decrypts what is in its database with the key of its region's store."""
    for region in ("east", "west"):
        answer = check(lab, region)
        assert (answer.status, answer.body["decrypted"], answer.body["region"]) == (200, 7, region)


def survives(lab: Lab) -> None:
    """After a SIGKILL of the store, and of the whole region, it comes back unsealed with everything."""
    before = contents(lab, "east")
    inject(lab, kill={"region": "east", "server": NAME})
    assert check(lab, "east").status == 503
    inject(lab, bring_back={"region": "east", "server": NAME})
    assert contents(lab, "east") == before and check(lab, "east").status == 200
    inject(lab, kill={"region": "west"})
    inject(lab, bring_back={"region": "west"})
    assert contents(lab, "west") == before
    poll(lambda: check(lab, "west").status == 200, "the Deployments of west")


def spoilt(lab: Lab) -> None:
    """Each spoil hits one region only, and the Deployment there notices."""
    spoil = {what: partial(inject, lab, spoil={"region": "west", "what": what}) for what in SecretStores.spoils}
    spoil["fernet-differs"]()
    assert (check(lab, "west").status, check(lab, "west").body["error"]) == (503, "undecryptable")
    spoil["secret-undecryptable"]()
    assert (check(lab, "west").status, check(lab, "west").body["error"]) == (503, "no-key")
    assert check(lab, "west", 2).status == 200 and check(lab, "east").status == 200
    spoil["secret-missing"]()
    store = openbao(lab, "west").store()
    assert store.read("pull/d-001") is None
    spoil["secret-leads-away"]()
    value = store.read("shared/secret-001")
    assert value is not None and "east" in (value.text("endpoint") or "")
    store.server.close()
    with pytest.raises(UsageError, match="something-else"):
        lab.inject(Fault(at=timedelta(0), spoil=Spoil(region="west", what="something-else")))
    with pytest.raises(UsageError, match="something-else"):
        lab.inject(Fault(at=timedelta(0), kill=Target(region="west", server="something-else")))
