"""The kind ``aws.ssm-parameters``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from dr.errors import StepError, Transient
from dr.model.lag import ComponentView, Finding
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import Site, Step
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.kind import AwsKind, Judged
from dr.providers.aws.memory import Memory
from dr.providers.aws.names import arn
from dr.providers.aws.parameters.by_hand import ByHand
from dr.providers.aws.parameters.calls import BY_NAME, BY_PATH, DECRYPT, ENCRYPT, HISTORY, PUT
from dr.providers.aws.parameters.config import Copy, ParametersConfig
from dr.providers.aws.parameters.side import Reader
from dr.providers.aws.parameters.standing import Both, Compared, Side, Standing, compare, compare_kept
from dr.providers.aws.parameters.steps import Follow, ParametersStep, Prepare, Preserve
from dr.providers.aws.place import Place
from dr.providers.aws.values import many, some, words
from dr.providers.regions import same_regions


class SsmParameters(AwsKind[ParametersConfig, Side]):
    """Parameters of AWS Systems Manager Parameter Store in two regions. AWS replicates none of it: ``dr`` compares and copies.

    Protects that what Deployments need is in the other region, with the right value. Has no primary, and no lag.
    """

    kind: ClassVar[str] = "aws.ssm-parameters"
    Config: ClassVar[type[KindConfig]] = ParametersConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        one, other = self.places.values()
        if one.account == other.account:
            self.apart("each region has parameters of its own")
        self.expects(self.config.database)
        self.reader = Reader(self.aws, self.config, words(self.places, self.config.lost_region_words))
        self._by_hand, self._memory = ByHand(self), Memory(site, name)
        self._seen: Mapping[str, Side | StepError] = {}

    def regions(self) -> Sequence[str]:
        """Both. Raises UsageError: not those of the runbook."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's parameters."""
        return self.reader.side(place)

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        self._seen = looks
        found = list(self.silent(looks))
        sides = {region: side for region, side in looks.items() if isinstance(side, Side)}
        for region, copy in sides.items():
            source = self.other(region)
            compared = compare(self.config, Both(sides[source], copy), source) if source in sides else self.compared_kept(copy)
            found += self._findings(region, compared)
        return Judged(findings=found)

    def _findings(self, region: str, compared: Compared) -> Iterator[Finding]:
        mend = "dr reprotect copies them" if self.config.copies is not Copy.NEVER else "write it there: copies is never"
        newer = "dr reprotect copies what is older; else look which value is right, or name it in per_region"
        type_ = "a type cannot be changed: delete it where it is wrong"
        leading = "use names that move, or a value of its own (per_region)"
        rows = [
            (compared.of(standing), f"in {region} {standing}", fix)
            for standing, fix in ((Standing.MISSING, mend), (Standing.DIFFERS, newer), (Standing.TYPE, type_))
        ]
        rows.append((compared.leads, f"in {region} leading into {self.other(region)}", leading))
        for names, what, fix in rows:
            if names:
                yield self.finding(Severity.ERROR, f"{many(len(names), 'parameter')} {what}: {some(names)}", fix, region)

    def view(self) -> ComponentView:
        """As every kind's; keeps what was seen, so that a failover knows what the lost region had."""
        view = super().view()
        sides = [side for side in self._seen.values() if isinstance(side, Side)]
        if len(sides) == len(self.places):
            for side in sides:
                self.keep(side)
        return view

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        return [use for region in self.places for use in self.reads(region)]

    def keep(self, side: Side) -> None:
        """Keeps names and keyed digests, outside of the region."""
        self._memory.keep(side.place.region, {name: item.fact.digest for name, item in side.held.items()})

    def compared_kept(self, copy: Side) -> Compared:
        """A side judged against what the other one had, when it was last seen."""
        source = self.other(copy.place.region)
        last = self._memory.last(source)
        return compare_kept(self.config, last.items if last is not None else {}, copy, source)

    def leads(self, region: str) -> bool | None:
        """Whether the runbook's ``database`` takes writes there; None: no such setting. Raises Transient: nobody can tell now."""
        if self.config.database is None:
            return None
        peer = self.site.peers.get(self.config.database)
        primary = peer.view().primary if peer is not None else None
        if primary is None:
            raise Transient(f"{self.name}: {self.config.database} does not say which region leads", hint="dr status RUNBOOK")
        return primary == region

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Before a move: what the target needs is there. ``reprotect``: ``target`` leads, ``source`` came back and gets what it has."""
        if intent.moves:
            return (self._prepare(source, target, planned=intent.planned),)
        authority = self._authority()
        return (
            self._back(Verb.PRESERVE, f"list what {source} had otherwise", Preserve(self, source, target), authority, ()),
            self._back(Verb.FOLLOW, f"{source} has the parameters of {target}", Follow(self, source, target), authority, ("preserve",)),
        )

    def _prepare(self, source: str, target: str, *, planned: bool) -> Step:
        more = (*self.reads(source), *self._histories(source, target), *self._writes(target)) if planned else ()
        return self.step(
            Verb.PREPARE, target, f"parameters are in {target}", Prepare(self, source, target, planned=planned),
            uses=(*self.reads(target), *more), typed=self._by_hand.carry(source, target) if planned else self._by_hand.look(target),
            estimate=timedelta(milliseconds=500), budget=timedelta(minutes=5),
        )  # fmt: skip

    def _back(self, verb: Verb, title: str, operation: ParametersStep, authority: tuple[Use, ...], needs: tuple[str, ...]) -> Step:
        source, target = operation.source, operation.target
        uses = (*self.reads(source), *self.reads(target), *self._histories(source, target), *authority)
        typed = self._by_hand.keep(target, source)
        if verb is Verb.FOLLOW:
            uses, typed = (*uses, *self._writes(source)), self._by_hand.carry(target, source, over=self.config.copies is Copy.NEWER)
        return self.step(
            verb, source, title, operation, uses=uses, typed=typed, estimate=timedelta(seconds=2),
            budget=timedelta(hours=1), needs=needs, max_attempts=100,
        )  # fmt: skip

    # --- what is called, and on what ---

    def reads(self, region: str) -> tuple[Use, ...]:
        """Values, decrypted."""
        place = self.places[region]
        paths = tuple(arn(place, "ssm", f"parameter{path.rstrip('/')}") for path in self.config.paths)
        below = tuple(arn(place, "ssm", f"parameter{path.rstrip('/')}/*") for path in self.config.paths)
        listed = (Use(BY_PATH, region, (*paths, *below)),) if paths else ()
        return (*listed, Use(BY_NAME, region, self.arns(region)), *self._key(DECRYPT, region))

    def arns(self, region: str) -> tuple[str, ...]:
        """The parameters, as IAM knows them."""
        named = [f"parameter/{name.lstrip('/')}" for name in self.config.names]
        named += [f"parameter{path.rstrip('/')}/*" for path in self.config.paths]
        return tuple(arn(self.places[region], "ssm", name) for name in named)

    def _histories(self, *regions: str) -> tuple[Use, ...]:
        return tuple(Use(HISTORY, region, self.arns(region)) for region in regions)

    def _writes(self, region: str) -> tuple[Use, ...]:
        return (Use(PUT, region, self.arns(region)), *self._key(ENCRYPT, region))

    def _key(self, call: Call, region: str) -> tuple[Use, ...]:
        own = self.config.regions[region].kms_key
        return () if own is None else (Use(call, region, (own,)),)

    def _authority(self) -> tuple[Use, ...]:
        peer = self.site.peers.get(self.config.database or "")
        return tuple(peer.watches()) if isinstance(peer, AwsKind) else ()
