"""Container images: a registry in each region, seeded in the home region and mirrored to the other one as the kind does it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from dr.errors import LabError, StepError
from dr.lab.account import Account
from dr.lab.extras import registry_server
from dr.lab.extras.extra import Say
from dr.lab.extras.registry_server import PORT, SERVER, RegistryServer
from dr.lab.layout import HOME, RegionLayout
from dr.lab.parts import Part
from dr.lab.platform.images import REPOSITORY, Content, Image, image, images_of
from dr.lab.servers import Servers
from dr.model.scenario import Workload
from dr.providers.selfhosted.oci import images as oci
from dr.providers.selfhosted.oci.fan import Fan
from dr.providers.selfhosted.oci.mirror import Copied, Mirror
from dr.providers.selfhosted.oci.wire import Registry

_WIDTH = 8
_OTHER_IMAGE = 10_000
"""Numbers above are images that nobody uses: pushed later than all others."""


class Images:
    """Two registries. Spoilt: the first Deployment's image is gone from one of them; or it is there, and its tag names another one."""

    name: ClassVar[str] = "images"
    servers: ClassVar[tuple[str, ...]] = (SERVER,)
    outside: ClassVar[tuple[str, ...]] = ()
    spoils: ClassVar[tuple[str, ...]] = ("image-missing", "image-other-digest")
    ports: ClassVar[tuple[int, ...]] = (PORT,)

    def doctor(self, account: Account | None) -> Sequence[Part]:
        """The registry's program."""
        return (registry_server.part(account),)

    def fix(self, place: Path, account: Account | None, say: Say) -> None:
        """Downloads and unpacks it. Raises LabError."""
        registry_server.download(place, say)

    def start(self, servers: Servers, workload: Workload, say: Say) -> None:
        """Both registries with the same images. Raises LabError."""
        users = registry_server.users(servers.layout)
        started = [RegistryServer(servers, region) for region in servers.layout.regions]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda server: _begin(server, users), started))
        home = next(server for server in started if server.region.name == HOME)
        away = next(server for server in started if server.region.name != HOME)
        wanted = [image(number) for number in range(1, workload.images + 1)]
        source, target, fan = home.client(), away.client(), Fan("lab", _WIDTH)
        try:
            _push(source, wanted, fan)
            say(f"{len(wanted)} images are in the registry of {home.region.name}")
            mirror = Mirror(source, target, fan)
            _complete(mirror.copy([oci.Image(REPOSITORY, item.digest) for item in wanted]))
            _complete(mirror.tag({oci.Image(REPOSITORY, item.tag): item.digest for item in wanted}))
        except StepError as error:
            raise LabError(f"seeding the registries: {error.message}", hint="dr lab down, then dr lab up") from error
        finally:
            fan.close()
            source.close()
            target.close()
        say(f"{len(wanted)} images are mirrored to {away.region.name}")

    def start_server(self, servers: Servers, region: RegionLayout | None, server: str) -> None:
        """Brings a registry back with all that it held."""
        assert region is not None, "nothing of this part runs outside the regions"
        RegistryServer(servers, region).start()

    def spoil(self, servers: Servers, region: RegionLayout, what: str) -> None:
        """Of the image of the first Deployment: takes it away; or moves its tag to an image that was made later, as a push does."""
        record = servers.records.lab()
        assert record is not None, "a lab that is spoilt runs"
        count = record.workload
        used = image(images_of(1, count.deployments, count.images)[0])
        server = RegistryServer(servers, region)
        if what == "image-missing":
            server.delete(REPOSITORY, used.digest)
        else:
            other = image(_OTHER_IMAGE + used.number)
            client, fan = server.client(), Fan("lab", _WIDTH)
            try:
                _push(client, [other], fan)
                client.put_manifest(REPOSITORY, used.tag, _manifest(other.manifests[-1]))
            except StepError as error:
                raise LabError(f"{what} in {region.name}: {error.message}", hint="dr lab status") from error
            finally:
                fan.close()
                client.close()


def _begin(server: RegistryServer, users: dict[str, str]) -> None:
    server.configure(users)
    server.start()


def _push(registry: Registry, images: Sequence[Image], fan: Fan) -> None:
    """As a build pushes: blobs, manifests, tag. Raises StepError."""
    blobs = {blob.digest: blob for item in images for blob in item.blobs}
    for uploaded in [fan.submit(lambda blob=blob: _upload(registry, blob)) for blob in blobs.values()]:  # type: ignore[misc]
        uploaded.result()
    for pushed in [fan.submit(lambda item=item: _put(registry, item)) for item in images]:  # type: ignore[misc]
        pushed.result()


def _upload(registry: Registry, blob: Content) -> None:
    described = oci.Descriptor(blob.media_type, blob.digest, len(blob.data))
    registry.upload(registry.begin(REPOSITORY), described, iter((blob.data,)))


def _put(registry: Registry, item: Image) -> None:
    for content in item.manifests:
        registry.put_manifest(REPOSITORY, content.digest, _manifest(content))
    registry.put_manifest(REPOSITORY, item.tag, _manifest(item.manifests[-1]))


def _manifest(content: Content) -> oci.Manifest:
    return oci.Manifest(content.digest, content.media_type, content.data)


def _complete(copied: Copied) -> None:
    for error in copied.failed.values():
        raise error
