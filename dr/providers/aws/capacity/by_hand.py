"""What a person types to scale groups: made from the very parameters that are sent. Sizes that nobody can know beforehand are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dr.model.by_hand import Typed
from dr.providers.aws.typed import cli

if TYPE_CHECKING:
    from dr.providers.aws.capacity.kind import Capacity

_ANY = 987_654_321
"""Stands for a size in parameters until the shell's word takes its place."""


def scaled(owner: Capacity[Any], region: str, source: str) -> Typed:
    """Every group gets its size; done once so many are ready."""
    return _typed(owner, region, lambda word: owner.config.sizes.get(word, owner.config.size), f"had in {source}")


def standing(owner: Capacity[Any], region: str, leads: str) -> Typed:
    """Every group is scaled back; done once it is so."""
    size = owner.config.stand_by or 0
    found = _typed(owner, region, lambda _word: size, f"has in {leads}")
    place = owner.places[region]
    rests = ((name, _word(word, size, f"has in {leads}")) for word, name in owner.config.groups(region).items())
    return Typed(found.do, " && ".join(f'[ "$({owner.size_by_hand(place, name)})" -le {number} ]' for name, number in rests))


def frozen(owner: Capacity[Any], region: str) -> Typed:
    """Every group is taken down to none; done once nothing of it is there."""
    place = owner.places[region]
    names = owner.config.groups(region).values()
    acts = [owner.scaling(place, name, 0) for name in names]
    gone = [owner.gone_by_hand(place, name) for name in names]
    return Typed(" && ".join(cli(call, place, parameters) for call, parameters in acts), " && ".join(gone))


def _typed(owner: Capacity[Any], region: str, size: Callable[[str], int | str], had: str) -> Typed:
    place = owner.places[region]
    acts, checks = [], []
    for word, name in owner.config.groups(region).items():
        number = _word(word, size(word), had)
        call, parameters = owner.scaling(place, name, _ANY)
        acts.append(_filled(cli(call, place, parameters), number))
        checks.append(owner.ready_by_hand(place, name, number, owner.config.zones))
    return Typed(" && ".join(acts), " && ".join(checks))


def _word(word: str, size: int | str, had: str) -> str:
    """A number as it is; what depends on the primary is a variable of the shell that must be set, and says what it is."""
    if isinstance(size, int):
        return str(size)
    share = "as many" if size == "primary" else f"{size} of what"
    return f'"${{{word.upper().replace("-", "_")}_SIZE:?how many {word}: {share} it {had}}}"'


def _filled(command: str, number: str) -> str:
    """The number in its place: as a word, or inside quoted JSON."""
    inside = f"'{number}'" if number.startswith('"') else number
    return command.replace(f":{_ANY}", f":{inside}").replace(str(_ANY), number)


def at_least(command: str, count: str, wanted: str, zone: str, zones: int) -> str:
    """A read that ends with 0 where enough items are listed. count, zone: jq expressions: all the ready ones, and one's zone."""
    spread = f" and ([$found[]|{zone}]|unique|length)>=([{zones},$n]|min)" if zones > 1 and zone else ""
    return f"{command} --output json | jq -e --argjson n {wanted} '[{count}] as $found | ($found|length)>=$n{spread}'"
