"""Which images are needed, and by whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dr.model.identity import ImageUse
from dr.providers.aws.ecr.config import EcrConfig
from dr.providers.selfhosted.oci.images import Image


@dataclass(frozen=True)
class Wanted:
    """An image that is needed. users: Deployments that run it, or the runbook; empty: it is in a rollback window only."""

    image: Image
    users: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.image}" + (f" ({', '.join(self.users[:3])}{' …' if len(self.users) > 3 else ''})" if self.users else " (rollback)")


def wanted(uses: Iterable[ImageUse], config: EcrConfig) -> tuple[Wanted, ...]:
    """Every image once, those that run first."""
    running: dict[Image, dict[str, None]] = {named(item): {"the runbook": None} for item in config.images}
    earlier: dict[Image, None] = {}
    for use in uses:
        assert config.repository is not None, "the settings have repository wherever they have deployments"
        where = config.repository.format(deployment=use.deployment, namespace=use.namespace, workspace=use.workspace)
        running.setdefault(Image(where, use.image_digest), {})[use.deployment] = None
        earlier.update(dict.fromkeys(Image(where, digest) for digest in use.image_rollback[: config.rollback]))
    return tuple(Wanted(image, tuple(running.get(image, ()))) for image in dict.fromkeys((*running, *earlier)))


def named(text: str) -> Image:
    """``airflow:2.10`` or ``airflow@sha256:…``."""
    repository, _, digest = text.partition("@")
    return Image(repository, digest) if digest else Image(*text.rsplit(":", 1))
