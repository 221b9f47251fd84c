"""What both registries come to: digests that are needed and missing, and what would make them missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dr.errors import StepError
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.aws.ecr.config import EcrConfig
from dr.providers.aws.ecr.look import Side
from dr.providers.aws.ecr.wanted import Wanted
from dr.providers.aws.place import Place

_NAMED = 5


def missing(needed: Sequence[Wanted], held: Iterable[object]) -> tuple[Wanted, ...]:
    """What is needed and not held."""
    there = set(held)
    return tuple(item for item in needed if item.image not in there)


def said(items: Sequence[Wanted]) -> str:
    """The first ones by name."""
    return ", ".join(str(item) for item in items[:_NAMED]) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")


class Judge:
    """Of one component."""

    def __init__(self, name: str, config: EcrConfig, places: Mapping[str, Place]) -> None:
        self._name, self._config, self._places = name, config, places

    def findings(self, needed: Sequence[Wanted], looks: Mapping[str, Side | StepError]) -> Iterator[Finding]:
        """Of every region that answered."""
        if not needed:
            fact = "nobody says which images are needed: no Deployment is known, and no images are named"
            yield self._finding(Severity.WARNING, fact, "images: [airflow:TAG], or let dr monitor see the Deployments")
        for region, side in looks.items():
            if isinstance(side, StepError):
                continue
            there = looks.get(self._config.other(region))
            other = there if isinstance(there, Side) else None
            yield from self._missing(region, needed, side, other)
            yield from self._rules(region, needed, side)
            yield from self._caches(region, needed, side, other)
            yield from self._expiring(region, needed, side)

    def _missing(self, region: str, needed: Sequence[Wanted], side: Side, other: Side | None) -> Iterator[Finding]:
        source = self._config.other(region)
        for item in missing(needed, side.held):
            severity = Severity.ERROR if item.users else Severity.WARNING
            if other is None or item.image not in other.held:
                gone = f"and not in {source}" if other is not None else f"and {source} does not answer"
                yield self._finding(severity, f"{item} is not in {region}, {gone}", f"push it to {self._registry(region)}", region)
                continue
            told = other.replication.get(item.image, "")
            fact = f"{item} is in {source} and not in {region}" + (f": replication {told}" if told else "")
            yield self._finding(severity, fact, self._push(item, source, region), region)
        if other is None or region != next(iter(self._places)):
            return
        for item in needed:
            ours, theirs = side.held.get(item.image), other.held.get(item.image)
            if ours and theirs and ours != theirs:
                fact = f"{item.image} names {ours} in {region} and {theirs} in {source}"
                yield self._finding(Severity.ERROR, fact, f"{self._push(item, region, source)}, or name the digest")

    def _rules(self, region: str, needed: Sequence[Wanted], side: Side) -> Iterator[Finding]:
        other = self._config.other(region)
        code = self._places[other].code
        names = dict.fromkeys(item.image.repository for item in needed)
        left = [name for name in names if not any(rule.sends(name, code) for rule in side.settings.rules)]
        if left:
            shown = ", ".join(left[:_NAMED]) + (" …" if len(left) > _NAMED else "")
            fact = f"what is pushed to {shown} in {region} is not replicated to {other}: no rule, or its filter leaves it out"
            config = f'{{"rules":[{{"destinations":[{{"region":"{code}","registryId":"{self._account(other)}"}}]}}]}}'
            fix = f"aws ecr put-replication-configuration --replication-configuration '{config}' --region {self._places[region].code}"
            yield self._finding(Severity.WARNING, fact, fix, other)

    def _caches(self, region: str, needed: Sequence[Wanted], side: Side, other: Side | None) -> Iterator[Finding]:
        """A repository that is filled from elsewhere is as good as that is on the day."""
        for prefix, upstream in side.settings.caches.items():
            mine = [item for item in needed if item.image.repository.startswith(f"{prefix}/") or prefix == "ROOT"]
            gone = missing(mine, side.held)
            if gone:
                fact = f"{len(gone)} images under {prefix} are in {region} only once {upstream} gives them: {said(gone)}"
                yield self._finding(Severity.WARNING, fact, "pull them there once, or replicate the repository", region)
            if mine and other is not None and prefix not in other.settings.caches:
                there = self._config.other(region)
                fact = f"{region} fills {prefix} from {upstream}, and {there} does not"
                make = f"aws ecr create-pull-through-cache-rule --ecr-repository-prefix {prefix} --upstream-registry-url {upstream}"
                yield self._finding(Severity.WARNING, fact, f"{make} --region {self._places[there].code}", there)

    def _expiring(self, region: str, needed: Sequence[Wanted], side: Side) -> Iterator[Finding]:
        code = self._places[region].code
        if side.settings.unread:
            fact = f"the lifecycle policies of {side.settings.unread} repositories in {region} were not read in time"
            yield self._finding(Severity.INFO, fact, "look again: what came late is kept for five minutes", region)
        for item in needed:
            expiry = side.settings.expiring.get(item.image)
            if expiry is None or item.image not in side.held:
                continue
            when = "at its next run, within a day" if expiry.due else expiry.when
            fact = f"rule {expiry.rule} of the lifecycle policy of {item.image.repository} in {region} expires {item} {when}"
            fix = "a rule of a smaller number for its tag: "
            fix += f"aws ecr put-lifecycle-policy --repository-name {item.image.repository} --region {code}"
            severity = Severity.ERROR if expiry.due and item.users else Severity.WARNING
            yield self._finding(severity, fact, fix, region)

    def _account(self, region: str) -> str:
        return self._places[region].account or "ACCOUNT"

    def _registry(self, region: str) -> str:
        return f"{self._account(region)}.dkr.ecr.{self._places[region].code}.amazonaws.com"

    def _push(self, item: Wanted, source: str, target: str) -> str:
        where = item.image.key
        return f"crane copy {self._registry(source)}/{where} {self._registry(target)}/{where.replace('@sha256:', ':sha256-')}"

    def _finding(self, severity: Severity, fact: str, fix: str, region: str | None = None) -> Finding:
        return Finding(component=self._name, severity=severity, fact=f"{self._name}: {fact}", fix=fix, region=region)
