"""The kind ``aws.ecr``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import ClassVar

from dr.errors import Permanent, StepError
from dr.model.by_hand import Typed
from dr.model.identity import ImageUse, ImageUses
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Verb
from dr.ports import Site, Step
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.ecr import judge, steps
from dr.providers.aws.ecr.calls import CACHES, DETAILS, IMAGES, POLICY, REGISTRY, STATUS
from dr.providers.aws.ecr.config import EcrConfig
from dr.providers.aws.ecr.look import Looker, Side, asking
from dr.providers.aws.ecr.wanted import Wanted, named, wanted
from dr.providers.aws.kind import AwsKind, Judged
from dr.providers.aws.place import Place
from dr.providers.regions import same_regions
from dr.providers.selfhosted.oci.images import Image
from dr.providers.selfhosted.oci.wanted import ImageUser, from_snapshot, merged

_ASKING_SECONDS = 0.6
"""Until the databases must have said who needs what, of the time of a look."""
_AFTERWARDS_SECONDS = 0.3
"""Of a look, for what comes after the registries have answered."""
_ASKED = 10
"""Of so many missing images a look asks what became of their replication."""


class Ecr(AwsKind[EcrConfig, Side]):
    """The container images that Deployments run and may go back to, in one ECR registry for each region.

    Protects that what starts in the target finds its image there, byte for byte. Needs: replication rules in both directions. Limits: only
    what was pushed after a rule was made is replicated, most of it within 30 minutes; what is missing is named with the command that brings
    it, and nothing is pushed by ``dr``. Images are no stream of data: they have no lag and no primary.
    """

    kind: ClassVar[str] = "aws.ecr"
    Config: ClassVar[type[KindConfig]] = EcrConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        self.apart("a registry is lost with its region")
        self.looker = Looker(self.aws)
        self._judge = judge.Judge(name, self.config, self.places)
        self._wanted: tuple[Wanted, ...] = ()
        self._until = 0.0

    def regions(self) -> Sequence[str]:
        """Both. Raises UsageError."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def looks(self, seconds: float) -> dict[str, Side | StepError]:
        """Who needs what first, then what both registries have of it, then why something is missing. Waits so long at most."""
        clock = self.site.clock
        until = clock.monotonic() + seconds
        self._until = until - _AFTERWARDS_SECONDS
        self._wanted = self._ask_all(min(_ASKING_SECONDS, seconds / 3))
        found = super().looks(max(0.0, until - clock.monotonic()))
        return {region: self._explained(region, side, found) for region, side in found.items()}

    def look(self, place: Place) -> Side:
        """One region's registry."""
        return self.looker.look(place, self._wanted, self._until)

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        return Judged({}, (*self._judge.findings(self._wanted, looks), *self.silent(looks)))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        return [
            use for region in self.places
            for use in (*self._of(region, IMAGES, POLICY, DETAILS, STATUS), Use(REGISTRY, region), Use(CACHES, region))
        ]  # fmt: skip

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: the registry of ``source`` must have what the Deployments in ``target`` need."""
        if intent is Intent.REPROTECT:
            return (self._follow(source, target),)
        ask = (source, target) if intent.planned else (target,)
        return self._check(source, target, ask), self._fingerprint(source, target)

    def needed(self, ask: Sequence[str]) -> tuple[Wanted, ...]:
        """What the databases of these regions name, and what was kept of it outside; asks the first one that answers and the others.

        Raises:
            StepError: none answered, and nothing was kept.
        """
        answers = [self._uses(region) for region in ask]
        known = [answer for answer in answers if isinstance(answer, ImageUses)]
        kept = self._kept()
        if not known and not kept and isinstance(answers[0], StepError):
            raise answers[0]
        return wanted(dict.fromkeys((*merged(known), *kept)), self.config)

    def _uses(self, region: str) -> ImageUses | StepError:
        """Which images the Deployments of a region name; none where the runbook names no component with Deployments."""
        if self.config.deployments is None:
            return ImageUses(region=region)
        peer = self.site.peers.get(self.config.deployments)
        if not isinstance(peer, ImageUser):
            text = f"{self.name}: deployments: {self.config.deployments} is no component with Deployments"
            return Permanent(text, hint="name a component of kind airflow-deployments")
        try:
            return peer.image_uses(region)
        except StepError as error:
            return error

    def _kept(self) -> tuple[ImageUse, ...]:
        if self.config.deployments is None:
            return ()
        snapshot = self.site.samples.identities(self.site.runbook, self.config.deployments)
        return from_snapshot(snapshot) if snapshot is not None else ()

    def _ask_all(self, seconds: float) -> tuple[Wanted, ...]:
        """What any region's database says in time, and what was kept."""
        pool = ThreadPoolExecutor(len(self.places), thread_name_prefix=f"{self.name}-uses")
        try:
            asked = [pool.submit(partial(self._uses, region)) for region in self.places]
            done, _ = wait(asked, timeout=seconds)
            known = [answer for future in asked if future in done and isinstance(answer := future.result(), ImageUses)]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return wanted(dict.fromkeys((*merged(known), *self._kept())), self.config)

    def _explained(self, region: str, side: Side | StepError, looks: Mapping[str, Side | StepError]) -> Side | StepError:
        """With what this region says of images that the other one lacks."""
        other = looks.get(self.config.other(region))
        if isinstance(side, StepError) or not isinstance(other, Side):
            return side
        gone = [item.image for item in judge.missing(self._wanted, other.held) if item.image in side.held][:_ASKED]
        code = self.places[self.config.other(region)].code
        told = self.aws.many([partial(self.looker.status, self.places[region], image, code) for image in gone])
        said = {image: answer for image, answer in zip(gone, told, strict=True) if isinstance(answer, str)}
        return replace(side, replication=said)

    # --- the steps ---

    def _of(self, region: str, *calls: Call) -> tuple[Use, ...]:
        place = self.places[region]
        names = tuple(f"arn:aws:ecr:{place.code}:{place.account or '*'}:repository/{name}" for name in self.config.repositories())
        return tuple(Use(call, region, names) for call in calls)

    def _typed(self, region: str) -> Typed:
        """Each image that the runbook names, by hand; what Deployments name is compared by eye with their database."""
        place, asked = self.places[region], dict[str, list[Image]]()
        for image in map(named, self.config.images):
            asked.setdefault(image.repository, []).append(image)
        do = [self.typed(place, IMAGES, asking(name, images), query="length(failures)", text=True) for name, images in asked.items()]
        check = [f'test "$({command})" = 0' for command in do]
        if self.config.repository is not None:
            listed = self.config.repository.format(deployment="$DEPLOYMENT", namespace="$NAMESPACE", workspace="$WORKSPACE")
            query = "imageDetails[].imageDigest"
            told = self.typed(place, DETAILS, {"repositoryName": listed}, query=query, text=True).replace(f"'{listed}'", f'"{listed}"')
            do.append(told)
            check.append(f'{told} | grep -q "${{DIGEST:?set DIGEST to the digest that the Deployment names}}"')
        return Typed(" && ".join(do), " && ".join(check))

    def _check(self, source: str, target: str, ask: tuple[str, ...]) -> Step:
        told = self._of(source, STATUS) if source in ask else ()
        return self.step(
            Verb.PREPARE, target, f"the images that are needed are in {target}", steps.Check(self, source, target, where=target, ask=ask),
            uses=(*self._of(target, IMAGES), *told), typed=self._typed(target), estimate=timedelta(seconds=1), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _fingerprint(self, source: str, target: str) -> Step:
        return self.step(
            Verb.FINGERPRINT, target, f"which images are not in {target}",
            steps.Fingerprint(self, source, target, where=target, ask=(target,)), uses=self._of(target, IMAGES),
            typed=self._typed(target), estimate=timedelta(seconds=1), budget=timedelta(minutes=5), optional=True,
        )  # fmt: skip

    def _follow(self, source: str, target: str) -> Step:
        return self.step(
            Verb.FOLLOW, source, f"{source} has the images of {target}, and gets new ones",
            steps.Follow(self, source, target, where=source, ask=(target, source)),
            uses=(*self._of(source, IMAGES), *self._of(target, STATUS), Use(REGISTRY, target)), typed=self._typed(source),
            estimate=timedelta(seconds=2), budget=timedelta(hours=14), max_attempts=50,
        )  # fmt: skip
