"""What was seen of both registries, as findings, and as the account of a step. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dr.errors import StepError
from dr.model.evidence import NAMED, Accounted
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.selfhosted.oci.access import NotInTime
from dr.providers.selfhosted.oci.images import short
from dr.providers.selfhosted.oci.inventory import Entry
from dr.providers.selfhosted.oci.wanted import Pull, Wanted

_SHOWN = 3


@dataclass(frozen=True)
class Shelf:
    """What one region's registry holds. ``entries``: by key, of this look or recent; ``tags``: those among them that are tags.

    silent: why it could not be asked; None where it could. all_tags: no other tag is there.
    """

    region: str
    entries: Mapping[str, Entry]
    tags: Mapping[str, Entry] = field(default_factory=dict)
    silent: StepError | None = None
    all_tags: bool = False

    def good(self, item: Wanted) -> bool:
        """It was seen there, whole."""
        entry = self.entries.get(item.image.key)
        return entry is not None and entry.good


def findings(component: str, needed: Sequence[Wanted], pulls: Sequence[Pull], shelves: Sequence[Shelf]) -> tuple[Finding, ...]:
    """What keeps a region from starting the Deployments (error), and what is to be mended before that day (warning)."""
    found: list[Finding] = []
    for shelf in shelves:
        others = [other for other in shelves if other is not shelf]
        for severity, fact, fix in (*_contents(needed, shelf, others), *_refused(pulls, shelf), *_gaps(needed, pulls, shelf)):
            found.append(Finding(component=component, severity=severity, fact=fact, fix=fix, region=shelf.region))
    if len(shelves) == 2:
        used = {item.image.reference: _users(item) for item in needed if item.running}
        for region, fact in _tags(used, *shelves):
            fix = "dr reprotect mends it where the primary's is the newer image; else push the tag again"
            found.append(Finding(component=component, severity=Severity.WARNING, fact=fact, fix=fix, region=region))
    return tuple(found)


def lacking(needed: Sequence[Wanted], shelf: Shelf) -> tuple[Wanted, ...]:
    """What is needed and was not seen whole."""
    return tuple(item for item in needed if not shelf.good(item))


def refused(pulls: Sequence[Pull], shelf: Shelf) -> tuple[Pull, ...]:
    """Pulls that do not work although the image is there."""
    return tuple(pull for pull in pulls if (entry := shelf.entries.get(pull.key)) is not None and entry.problem)


def account(
    component: str, at: datetime, needed: Sequence[Wanted], shelf: Shelf, conflicts: Sequence[str], *, repaired: int, complete: bool,
    items_path: str | None = None,
) -> Accounted:  # fmt: skip
    """A region's registry against what is needed."""
    missing = [str(item.image) for item in needed if _at(item, shelf).digest is None]
    differing = [str(item.image) for item in needed if _at(item, shelf).digest is not None and not shelf.good(item)]
    return Accounted(
        component=component, region=shelf.region, at=at, checked=len(needed), equal=len(needed) - len(missing) - len(differing),
        missing=tuple(missing[:NAMED]), missing_total=len(missing), differing=tuple(differing[:NAMED]), differing_total=len(differing),
        conflicts=tuple(conflicts[:NAMED]), conflicts_total=len(conflicts), repaired=repaired, complete=complete, items_path=items_path,
    )  # fmt: skip


def named(items: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    first = list(items)[:_SHOWN]
    more = len(items) - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def of_whom(item: Wanted) -> str:
    """An image with who needs it."""
    return f"{item.image} ({_users(item)})"


def _users(item: Wanted) -> str:
    if item.running:
        return f"used by {named(item.running)}"
    return f"rollback of {named(item.earlier)}" if item.earlier else "its repository is needed whole"


def _contents(needed: Sequence[Wanted], shelf: Shelf, others: Sequence[Shelf]) -> Iterator[tuple[Severity, str, str]]:
    if isinstance(shelf.silent, NotInTime):
        text = f"the registry of {shelf.region} was not looked at in time"
        yield Severity.WARNING, text, "look again; a run looks before it starts anything"
        return
    if shelf.silent is not None:
        text = f"the registry of {shelf.region} cannot be asked: {shelf.silent.message}"
        yield Severity.ERROR, text, shelf.silent.hint or f"start the registry of {shelf.region}"
        return
    seen = [item for item in needed if item.image.key in shelf.entries]
    sorts: tuple[tuple[str, Callable[[Entry], bool]], ...] = (
        (f"not in {shelf.region}", lambda entry: entry.digest is None),
        (f"not whole in {shelf.region}", lambda entry: bool(entry.lacks)),
        (f"of no use in {shelf.region}", lambda entry: bool(entry.problem)),
    )
    for word, is_so in sorts:
        for severity, concerned in ((Severity.ERROR, True), (Severity.WARNING, False)):
            items = [item for item in seen if is_so(shelf.entries[item.image.key]) and item.needed_now is concerned]
            if items:
                fact = f"{'image' if len(items) == 1 else f'{len(items)} images are'} "
                names = named([of_whom(item) for item in items])
                fact = f"image {names} is {word}" if len(items) == 1 else f"{len(items)} images are {word}: {names}"
                yield severity, fact + _detail(shelf.entries[items[0].image.key]), _fix(items, others)


def _detail(entry: Entry) -> str:
    if entry.lacks:
        return f": it lacks {named([short(digest) for digest in entry.lacks])}"
    return f": {entry.problem}" if entry.problem else ""


def _fix(items: Sequence[Wanted], others: Sequence[Shelf]) -> str:
    for other in others:
        if other.silent is None and all(other.good(item) for item in items):
            return f"dr reprotect copies what is missing from {other.region}"
    silent = [other.region for other in others if other.silent is not None]
    return "push it again" + (f"; the registry of {silent[0]}, where it may be, cannot be asked" if silent else ": no registry has it")


def _refused(pulls: Sequence[Pull], shelf: Shelf) -> Iterator[tuple[Severity, str, str]]:
    bad = refused(pulls, shelf) if shelf.silent is None else ()
    if bad:
        who = named([f"{pull.deployment} with {pull.secret}" for pull in bad])
        fact = f"{len(bad)} of {len(pulls)} Deployments cannot pull in {shelf.region}: {who}: {shelf.entries[bad[0].key].problem}"
        yield Severity.ERROR, fact, f"mend the pull secret or what it may do at the registry of {shelf.region}"


def _gaps(needed: Sequence[Wanted], pulls: Sequence[Pull], shelf: Shelf) -> Iterator[tuple[Severity, str, str]]:
    """What nobody has looked at is said, and is not called equal."""
    if shelf.silent is not None:
        return
    unseen = [key for key in (*(item.image.key for item in needed), *(pull.key for pull in pulls)) if key not in shelf.entries]
    if unseen:
        text = f"{len(unseen)} of {len(needed) + len(pulls)} images and pulls in {shelf.region} were not looked at in time"
        yield Severity.INFO, text, "dr monitor looks at all of them in turn; a run does before it starts anything"


def _tags(used: Mapping[str, str], one: Shelf, other: Shelf) -> Iterator[tuple[str | None, str]]:
    """Tags that name different images. The region where a tag names another image than the one in use is the one that is wrong.

    To be mended, and no reason to stay in a lost region: Deployments run by digest, and whether that is there was judged by itself.
    """
    for tag in sorted(one.tags.keys() & other.tags.keys()):
        here, there = one.tags[tag].digest, other.tags[tag].digest
        if here == there or here is None or there is None:
            continue
        for ours, theirs, where, elsewhere in ((here, there, other, one), (there, here, one, other)):
            if ours in used and theirs not in used:
                fact = f"tag {tag} names {short(theirs)} in {where.region}, not {short(ours)} ({used[ours]}) as in {elsewhere.region}"
                yield where.region, fact
                break
        else:
            yield None, f"tag {tag} names {short(here)} in {one.region} and {short(there)} in {other.region}"
    for shelf, opposite in ((one, other), (other, one)):
        gone = [tag for tag, entry in opposite.tags.items() if entry.digest in used and tag not in shelf.tags]
        if gone and shelf.all_tags:
            yield shelf.region, f"{len(gone)} tags of images in use are not in {shelf.region}: {named(sorted(gone))}"


def _at(item: Wanted, shelf: Shelf) -> Entry:
    """The entry of an image that was looked at; every account is made of a whole look."""
    return shelf.entries[item.image.key]
