"""Two regions' secrets, compared: what is missing, unreadable, out of step, alone, or leads into the other region. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.words import Severity
from dr.providers.aws.place import Place
from dr.providers.aws.secrets.config import SecretsConfig
from dr.providers.aws.secrets.side import Side
from dr.providers.aws.values import many, some

SETTLES = timedelta(minutes=1)
"""A change that is not older may still be on its way to a replica."""


@dataclass(frozen=True)
class Compared:
    """The copy's side judged against the original's, or against what was kept of it; names of secrets, per-region ones left out but for
    ``missing`` and ``unread``.

    pending: a replica with an older version, for less than a minute. behind: for longer. differing: both stand alone, with other values.
    alone: both stand alone, with one value. foreign: a replica of a region that the component does not have. leads: values that lead into
    the original's region.
    """

    checked: int
    missing: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What keeps Deployments from working there, in words, with names."""
        rows = (
            ("missing", self.missing), ("not readable", self.unread), ("with an older value", self.behind),
            ("with another value", self.differing), ("replicating from a region that is not in the runbook", self.foreign),
            ("leading into the other region", self.leads),
        )  # fmt: skip
        return tuple((word, names) for word, names in rows if names)


def compare(config: SecretsConfig, original: Side | None, kept: Mapping[str, str], copy: Side, source: Place, now: datetime) -> Compared:
    """Judges ``copy``.

    Args:
        original: None: it cannot be asked. kept: then, names and keyed digests as they were when it last could.
        source: the original's region.
    """
    there = original.secrets.keys() if original is not None else kept.keys()
    wanted = sorted({*config.names, *there})
    both = [name for name in wanted if name in copy.secrets and not config.own(name)]
    pending, behind, differing, alone = list[str](), list[str](), list[str](), list[str]()
    for name in both:
        if original is None or name not in original.facts or name not in copy.facts:
            continue
        equal = original.facts[name].digest == copy.facts[name].digest
        if original.alone(name) and copy.alone(name):
            (alone if equal else differing).append(name)
        elif not equal and copy.follows(name, source.code):  # else it is the primary
            newest = max(original.created[name], copy.created[name])
            (pending if now - newest < SETTLES else behind).append(name)
    foreign = [name for name, item in sorted(copy.secrets.items()) if item.primary not in ("", source.code) and not config.own(name)]
    leads = [name for name, fact in sorted(copy.facts.items()) if source.region in fact.leads_into and not config.own(name)]
    return Compared(
        len(wanted), tuple(name for name in wanted if name not in copy.secrets),
        tuple(f"{name} ({copy.unread[name]})" for name in sorted(copy.unread)), tuple(pending), tuple(behind), tuple(differing),
        tuple(alone), tuple(foreign), tuple(leads),
    )  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A finding in the making."""

    severity: Severity
    fact: str
    fix: str


def said(config: SecretsConfig, compared: Compared, copy: Side, original: Side | None, source: Place) -> Iterator[Said]:
    """What is to be known before anybody moves to the copy's region."""
    region, code, at = copy.place.region, copy.place.code, source.code
    error, warning = Severity.ERROR, Severity.WARNING
    replicate = "aws secretsmanager replicate-secret-to-regions"
    describe = f"aws secretsmanager describe-secret --region {at} --query ReplicationStatus --secret-id "
    for severity, names, what, fix in (
        (error, compared.missing, f"missing in {region}",
         f"{replicate} --add-replica-regions Region={code} --region {at} --secret-id {_first(compared.missing)}"),
        (error, compared.unread, f"that cannot be read in {region}",
         "allow secretsmanager:GetSecretValue, and kms:Decrypt on the key of the replica there; that key must be enabled"),
        (error, compared.behind, f"in {region} with an older value", describe + _first(compared.behind)),
        (error, compared.differing, f"in {region} with another value: both sides stand alone",
         "look which value is right; dr reprotect replicates from the region that leads; or name them in per_region"),
        (warning, compared.alone, f"in {region} that nothing replicates: both sides stand alone, equal now",
         "dr reprotect replicates from the region that leads"),
        (error, compared.foreign, f"in {region} replicating from a region that is not in the runbook",
         f"replicate from {at}, or name them in per_region"),
        (error, compared.leads, f"in {region} leading into {source.region}",
         "use names that move, such as a CNAME or the global writer endpoint"),
        (warning, compared.pending, f"in {region} not in sync yet", describe + _first(compared.pending)),
    ):  # fmt: skip
        if names:
            yield Said(severity, f"{many(len(names), 'secret')} {what}: {some(names)}", fix)
    rotating = [name for name, item in sorted(original.secrets.items()) if item.rotates and copy.follows(name, at)] if original else []
    if rotating:
        then = "promote: true, and rotation configured there" if not config.promote else f"rotation is to be configured in {region}, too"
        fact = f"{many(len(rotating), 'secret')} rotated in {source.region} only: {some(rotating)}"
        yield Said(Severity.INFO, fact, f"after a move: {then}")


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "NAME")
