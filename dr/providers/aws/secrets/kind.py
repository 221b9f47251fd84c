"""The kind ``aws.secretsmanager``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from dr.errors import StepError, Transient
from dr.model.lag import ComponentView
from dr.model.runbook import KindConfig
from dr.model.words import Intent
from dr.ports import Site, Step
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.kind import AwsKind, Judged
from dr.providers.aws.memory import Memory
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.secrets.calls import BATCH, DECRYPT, GET, LIST
from dr.providers.aws.secrets.chains import Chains
from dr.providers.aws.secrets.config import PRESERVED, SecretsConfig
from dr.providers.aws.secrets.judge import Compared, compare, said
from dr.providers.aws.secrets.side import RECENT, Reader, Side
from dr.providers.aws.values import words
from dr.providers.regions import same_regions


class SecretsManager(AwsKind[SecretsConfig, Side]):
    """Secrets of AWS Secrets Manager, replicated to the other region by the service.

    Protects that what Deployments need can be read in the other region, with the right value. Replicas are readable without any promotion,
    so nothing of it is on the critical path. Takes no writes of its own: it has no primary, and no lag.
    """

    kind: ClassVar[str] = "aws.secretsmanager"
    Config: ClassVar[type[KindConfig]] = SecretsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        self.apart("a replica lives in another AWS region")
        self.expects(self.config.database)
        self.reader = Reader(self.aws, self.config, words(self.places, self.config.lost_region_words))
        self._chains, self._memory = Chains(self), Memory(site, name)
        self._seen: Mapping[str, Side | StepError] = {}

    def regions(self) -> Sequence[str]:
        """Both. Raises UsageError: not those of the runbook."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's secrets, values as the last five minutes had them."""
        return self.reader.side(place, RECENT)

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        self._seen = looks
        found = list(self.silent(looks))
        for region, copy in looks.items():
            if isinstance(copy, Side):
                source = self.other(region)
                original = looks.get(source)
                side = original if isinstance(original, Side) else None
                told = said(self.config, self.compared(copy, side), copy, side, self.places[source])
                found += [self.finding(item.severity, item.fact, item.fix, region) for item in told]
        return Judged(findings=found)

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

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` leads now, ``source`` came back."""
        return self._chains.steps(intent, source, target)

    def compared(self, copy: Side, original: Side | None) -> Compared:
        """A side judged against the other one, or against what was kept of it."""
        source = self.other(copy.place.region)
        last = self._memory.last(source) if original is None else None
        return compare(self.config, original, last.items if last is not None else {}, copy, self.places[source], self.site.clock.now())

    def keep(self, side: Side) -> None:
        """Keeps names and keyed digests, outside of the region."""
        self._memory.keep(side.place.region, {name: fact.digest for name, fact in side.facts.items()})

    def leads(self, region: str) -> bool | None:
        """Whether the runbook's ``database`` takes writes there; None: no such setting. Raises Transient: nobody can tell now."""
        if self.config.database is None:
            return None
        peer = self.site.peers.get(self.config.database)
        primary = peer.view().primary if peer is not None else None
        if primary is None:
            raise Transient(f"{self.name}: {self.config.database} does not say which region leads", hint="dr status RUNBOOK")
        return primary == region

    # --- what steps call, and on what ---

    def reads(self, region: str) -> tuple[Use, ...]:
        """Listing and reading values."""
        return (
            Use(LIST, region), Use(BATCH, region), Use(GET, region, self.arns(region)),
            *self.key(DECRYPT, region),
        )  # fmt: skip

    def arns(self, region: str) -> tuple[str, ...]:
        """The secrets, as IAM knows them; six characters of AWS's own follow a name."""
        place = self.places[region]
        named = [f"{name}-??????" for name in self.config.names] + [f"{prefix}*" for prefix in self.config.prefixes]
        return tuple(arn(place, "secretsmanager", f"secret:{name}") for name in named)

    def preserved_arn(self, region: str) -> str:
        """What is kept of an old primary there."""
        return arn(self.places[region], "secretsmanager", f"secret:{PRESERVED}*")

    def key(self, call: Call, region: str) -> tuple[Use, ...]:
        """A use of the region's own key; none where it is ``aws/secretsmanager``."""
        own = self.config.regions[region].kms_key
        return () if own is None else (Use(call, region, (own,)),)

    def authority(self) -> tuple[Use, ...]:
        """What asking ``database`` calls."""
        peer = self.site.peers.get(self.config.database or "")
        return tuple(peer.watches()) if isinstance(peer, AwsKind) else ()

    def replica(self, region: str) -> dict[str, str]:
        """A region as ReplicateSecretToRegions takes it."""
        own = self.config.regions[region].kms_key
        return {"Region": self.places[region].code, **({"KmsKeyId": own} if own is not None else {})}
