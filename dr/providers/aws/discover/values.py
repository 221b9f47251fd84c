"""What Secrets Manager and Parameter Store have. Names only: no value is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.found import Found, Gap, prefixes
from dr.providers.aws.names import arn
from dr.providers.aws.secrets.calls import LIST
from dr.providers.aws.secrets.config import PRESERVED

PARAMETERS = Call("ssm", "DescribeParameters")
"""Names and types of parameters, 50 a page; no values.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeParameters.html; InternalServerError, InvalidFilterKey,
InvalidNextToken."""


def secrets(ask: Ask) -> Iterator[Found]:
    """One component for all secrets that are replicas in the secondary. Two listings."""
    listed = ask.both(LIST, "SecretList", MaxResults=100)
    mine, theirs = ({item["Name"]: item for item in side if _ours(item)} for side in listed)
    meant = sorted(name for name, item in mine.items() if ask.picks(item["ARN"]))
    here, there = ask.codes
    missing = {name: _missing(ask, mine[name], theirs.get(name)) for name in meant}
    gaps = [gap for gap in missing.values() if gap is not None]
    ready = [name for name, gap in missing.items() if gap is None]
    if not meant:
        return
    begins, names = prefixes(ready or meant, mine)
    settings: dict[str, Any] = {"prefixes": begins} if begins else {}
    settings |= {"names": names} if names else {}
    settings["regions"] = {here: {}, there: {}}
    after = ("per_region: []     # patterns of secrets that hold another value in each region on purpose",)
    yield Found("secrets", "aws.secretsmanager", settings, (), after, tuple(gaps), active=bool(ready))


def _ours(item: dict[str, Any]) -> bool:
    """Not one that another service keeps for itself (``rds!…``), nor one that ``dr`` put aside."""
    return not item.get("OwningService") and not str(item["Name"]).startswith(PRESERVED)


def _missing(ask: Ask, own: dict[str, Any], other: dict[str, Any] | None) -> Gap | None:
    (here, there), name = ask.codes, own["Name"]
    fix = f"aws secretsmanager replicate-secret-to-regions --region {here} --secret-id {name} --add-replica-regions Region={there}"
    if other is None:
        return Gap(f"secret {name}", f"it is not in {there}", fix)
    if other.get("PrimaryRegion") == here or own.get("PrimaryRegion") == there:  # after a move the other side may lead
        return None
    return Gap(f"secret {name}", f"the one in {there} stands alone: it does not follow", f"{fix} --force-overwrite-replica-secret")


def parameters(ask: Ask, account: str) -> Iterator[Found]:
    """One component for all parameters: nothing replicates them but ``dr`` itself. Two listings."""
    mine, theirs = ({item["Name"] for item in side} for side in ask.both(PARAMETERS, "Parameters", MaxResults=50))
    place = ask.primary._replace(account=account)
    meant = sorted(name for name in mine if ask.picks(arn(place, "ssm", f"parameter/{name.removeprefix('/')}")))
    if not meant:
        return
    here, there = ask.codes
    begins, names = prefixes(meant, mine, "/")
    begins, names = [item for item in begins if item.startswith("/")], sorted({*names, *(n for n in meant if not n.startswith("/"))})
    settings: dict[str, Any] = {"paths": begins} if begins else {}
    settings |= {"names": names} if names else {}
    settings["regions"] = {here: {}, there: {}}
    fix = "dr brings it over with the next planned move; or now: aws ssm put-parameter --region " + there
    gaps = tuple(Gap(f"parameter {name}", f"it is not in {there}", f"{fix} --name {name}") for name in meant if name not in theirs)
    comments = ("AWS replicates no parameters: dr copies what is missing or older, with planned moves and dr reprotect",)
    yield Found("parameters", "aws.ssm-parameters", settings, comments, (), gaps)
