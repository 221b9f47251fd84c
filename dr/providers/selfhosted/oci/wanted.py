"""Which images are needed, by whom, and with which secrets they are pulled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dr.model.identity import IdentitySnapshot, ImageUse, ImageUses
from dr.providers.selfhosted.oci.config import OciConfig
from dr.providers.selfhosted.oci.images import Image


@runtime_checkable
class ImageUser(Protocol):
    """What this package asks of the component that ``deployments`` names."""

    def image_uses(self, region: str) -> ImageUses:
        """Which images its Deployments name, as a region's own database lists them. Bounded: a few seconds. Raises StepError."""


@runtime_checkable
class SecretStore(Protocol):
    """What this package asks of the component that ``pull_secrets.component`` names."""

    def secret(self, region: str, name: str) -> Mapping[str, str]:
        """The newest version of a secret, as a region's own store has it. Bounded: a few seconds. Raises StepError."""


@dataclass(frozen=True)
class Wanted:
    """An image that is needed. ``running``: ids of the Deployments that run it; ``earlier``: of those that may go back to it."""

    image: Image
    running: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    @property
    def needed_now(self) -> bool:
        """Something could not start without it; else it is in a rollback window only."""
        return bool(self.running) or not self.earlier


@dataclass(frozen=True)
class Pull:
    """A Deployment's own way to its image."""

    deployment: str
    secret: str
    image: Image

    @property
    def key(self) -> str:
        """Names it in an inventory."""
        return f"{self.secret} {self.image.key}"


def images_of(use: ImageUse, config: OciConfig) -> tuple[Image, ...]:
    """Of one Deployment: the one that runs, then as many earlier ones as the rollback window holds."""
    assert config.repository is not None, "the settings have repository wherever they have deployments"
    repository = config.repository.format(deployment=use.deployment, namespace=use.namespace, workspace=use.workspace)
    return tuple(Image(repository, digest) for digest in (use.image_digest, *use.image_rollback[: config.rollback]))


def wanted(uses: Iterable[ImageUse], config: OciConfig, listed: Iterable[Image] = ()) -> tuple[Wanted, ...]:
    """Every image that is needed, those that run first, each once.

    Args:
        uses: of the Deployments; those that two regions list alike may come twice.
        listed: what the tags of ``repositories`` name.
    """
    running: dict[Image, dict[str, None]] = {}
    earlier: dict[Image, dict[str, None]] = {}
    for use in uses:
        now, *before = images_of(use, config)
        running.setdefault(now, {})[use.deployment] = None
        for image in before:
            earlier.setdefault(image, {})[use.deployment] = None
    order = dict.fromkeys((*running, *listed, *earlier))
    named = set(listed)
    return tuple(
        Wanted(image, tuple(running.get(image, ())), () if image in named else tuple(earlier.get(image, ()))) for image in order
    )


def pulls(uses: Iterable[ImageUse], config: OciConfig) -> tuple[Pull, ...]:
    """What each Deployment pulls with each of its pull secrets."""
    found = (Pull(use.deployment, secret, images_of(use, config)[0]) for use in uses for secret in use.pull_secrets)
    return tuple(dict.fromkeys(found))


def repositories(needed: Iterable[Wanted], config: OciConfig) -> tuple[str, ...]:
    """Every repository that is looked at."""
    return tuple(dict.fromkeys((*config.repositories, *(item.image.repository for item in needed))))


def from_snapshot(snapshot: IdentitySnapshot) -> tuple[ImageUse, ...]:
    """The same of identities that were kept outside both regions."""
    return tuple(
        ImageUse(
            deployment=item.id, namespace=item.namespace, workspace=item.workspace, image_digest=item.image_digest,
            image_rollback=item.image_rollback, pull_secrets=item.pull_secrets,
        )
        for item in snapshot.deployments
    )  # fmt: skip


def merged(answers: Sequence[ImageUses]) -> tuple[ImageUse, ...]:
    """What any region lists: what is needed only there is needed, too."""
    return tuple(dict.fromkeys(use for answer in answers for use in answer.uses))
