"""The part of the lab: what its database says is what its registries hold."""

from __future__ import annotations

import psycopg
import pytest

from dr.lab import credentials
from dr.lab.extras.registry_server import RegistryServer
from dr.lab.lab import Lab
from dr.lab.layout import POSTGRES_PORT
from dr.lab.platform.images import REPOSITORY, image
from dr.model.scenario import Fault, Spoil, Target, Workload
from dr.providers.selfhosted.oci.access import Denied, Login


def digests(lab: Lab) -> dict[str, tuple[str, ...]]:
    """Of each Deployment in the platform's database: the image that runs, and those that it may go back to."""
    home = lab.layout.region("east")
    with psycopg.connect(
        host=home.address, port=POSTGRES_PORT, user="dr", dbname="platform", sslmode="disable",
        password=credentials.read_secret(lab.layout, credentials.POSTGRES_DR),
    ) as connection:  # fmt: skip
        rows = connection.execute("SELECT pull_secrets[1], image_digest || image_rollback FROM deployment").fetchall()
    return {str(name): tuple(found) for name, found in rows}


@pytest.mark.lab
def test_what_the_database_names_can_be_pulled_in_both_regions(no_lab: Lab) -> None:
    """With each Deployment's own secret; not without; a killed registry comes back with all it held; spoilt contents are spoilt."""
    no_lab.up(Workload(deployments=3, running_tasks=3, images=7, parts=("images",)), owned=True)
    try:
        secrets = credentials.read_pull_secrets(no_lab.layout)
        named = digests(no_lab)
        assert named.keys() == secrets.keys()
        assert sorted(item for found in named.values() for item in found) == sorted(image(number).digest for number in range(1, 8))
        no_lab.inject(Fault.model_validate({"at": "0s", "kill": Target(region="west", server="registry")}))
        no_lab.inject(Fault.model_validate({"at": "0s", "bring_back": Target(region="west", server="registry")}))
        for region in no_lab.layout.regions:
            client = RegistryServer(no_lab.servers(), region).client()
            for name, found in named.items():
                login = Login(secrets[name]["username"], secrets[name]["password"])
                assert [client.head(REPOSITORY, digest, login) for digest in found] == list(found)
                with pytest.raises(Denied):
                    client.head(REPOSITORY, found[0], Login(login.username, "another"))
            client.close()
        no_lab.inject(Fault.model_validate({"at": "0s", "spoil": Spoil(region="west", what="image-other-digest")}))
        client = RegistryServer(no_lab.servers(), no_lab.layout.region("west")).client()
        used = named["pull/d-001"][0]
        assert client.head(REPOSITORY, used) == used, "the image itself is there still"
        assert client.head(REPOSITORY, "7") not in (None, used)
        no_lab.inject(Fault.model_validate({"at": "0s", "spoil": Spoil(region="west", what="image-missing")}))
        assert client.head(REPOSITORY, used) is None
        client.close()
    finally:
        assert no_lab.down().ok
