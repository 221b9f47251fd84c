"""What KMS has: multi-Region keys with a replica in the other region, and customer keys that can never have one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.found import Found, Gap, plain_name
from dr.providers.aws.kms_key import ALIASES

KEYS = Call("kms", "ListKeys")
"""Ids of all keys of a region, 1,000 a page. A multi-Region key's id begins with ``mrk-``, and is the same in all its regions.

https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html; DependencyTimeoutException, KMSInternalException."""


def look(ask: Ask) -> Iterator[Found]:
    """Four listings; no key is asked for itself. A key of AWS's own (``alias/aws/…``) is none of ours."""
    mine, theirs = ask.both(KEYS, "Keys")
    sides = [_aliases(side) for side in ask.both(ALIASES, "Aliases")]
    there = {item["KeyId"]: item["KeyArn"] for item in theirs}
    for key in sorted(mine, key=lambda item: (sorted(sides[0].get(item["KeyId"], [])), item["KeyId"])):
        number, names = key["KeyId"], sorted(sides[0].get(key["KeyId"], ()))
        ours = number.startswith("mrk-") or any(not name.startswith("alias/aws/") for name in names)
        if ours and ask.picks(key["KeyArn"]):
            yield _key(ask, key["KeyArn"], there.get(number, ""), names, set(sides[1].get(number, ())))


def _aliases(listed: list[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for item in listed:
        if "TargetKeyId" in item:
            found[item["TargetKeyId"]].append(item["AliasName"])
    return found


def _key(ask: Ask, arn: str, other: str, names: list[str], known: set[str]) -> Found:
    here, there = ask.codes
    number = arn.rpartition("/")[2]
    shown = f"key {names[0] if names else number}"
    gaps = []
    if not number.startswith("mrk-"):
        fix = "a new multi-Region key (that is decided at creation): aws kms create-key --multi-region, and what it encrypts written anew"
        gaps.append(Gap(shown, f"it is a key of one region: nothing that it encrypts can be read in {there}", fix))
    elif not other:
        fix = f"aws kms replicate-key --region {here} --key-id {number} --replica-region {there}"
        gaps.append(Gap(shown, f"it has no replica in {there}", fix))
    ready = not gaps
    fix = f"aws kms create-alias --region {there} --target-key-id {number} --alias-name"
    gaps += [Gap(f"alias {name}", f"it does not lead to the key's replica in {there}", f"{fix} {name}") for name in names
             if ready and name not in known]  # fmt: skip
    aliases = {"aliases": names} if names else {}
    settings = {**aliases, "regions": {here: {"key": arn}, there: {"key": other or arn.replace(f":{here}:", f":{there}:")}}}
    name = plain_name(names[0].removeprefix("alias/"), here, there) if names else "key"
    return Found(f"{name}-key"[-63:].strip("-") if names else name, "aws.kms-key", settings, (), (), tuple(gaps), active=ready)
