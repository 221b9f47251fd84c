"""What ECR has: repositories whose pushes are replicated into the other region, and repositories whose are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dr.errors import StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.found import Found, Gap
from dr.providers.aws.ecr.calls import DETAILS, REGISTRY
from dr.providers.aws.place import Place

REPOSITORIES = Call("ecr", "DescribeRepositories")
"""All repositories of a registry, 1,000 a page.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html; ServerException, InvalidParameterException."""

_ASKED = 50
"""So many repositories are asked for their newest tag; each costs a call."""


def look(ask: Ask) -> Iterator[Found]:
    """Two listings, two registries, and the first page of some repositories."""
    mine, theirs = ask.both(REPOSITORIES, "repositories", maxResults=1000)
    names = sorted(item["repositoryName"] for item in mine if ask.picks(item["repositoryArn"]))
    if not names:
        return
    there = {item["repositoryName"] for item in theirs}
    ways = (_rules(ask, ask.primary), _rules(ask, ask.secondary))
    gaps = list(_gaps(ask, names, there, ways))
    ready = [name for name in names if name in there]
    images: list[str] = []
    silent: list[str] = []
    for name, tag in ask.each(ready[:_ASKED], lambda name: _newest(ask, name)):
        if isinstance(tag, StepError):
            ask.refuse(f"repository {name}", tag)
        (images if isinstance(tag, str) and tag else silent).append(f"{name}:{tag}" if isinstance(tag, str) else name)
    comments = [
        "the newest tag of each repository stands here; which images run, only the database of the Deployments knows: with an "
        "airflow-deployments component write deployments: NAME and repository: airflow/{deployment} instead of images:"
    ]
    unread = [*silent, *ready[_ASKED:]]
    if unread:
        listed = ", ".join(item.removesuffix(":") for item in unread)
        comments.append(f"repositories in both regions whose images are not named here: {listed}")
    code_a, code_b = ask.codes
    settings = {"images": images or [f"{names[0]}:latest"], "regions": {code_a: {}, code_b: {}}}
    yield Found("images", "aws.ecr", settings, tuple(comments), (), tuple(gaps), active=bool(images))


def _rules(ask: Ask, place: Place) -> list[Mapping[str, Any]]:
    """The replication rules of a region's registry. Raises StepError."""
    return list(ask.read(place, REGISTRY).get("replicationConfiguration", {}).get("rules", ()))


def _covered(rules: list[Mapping[str, Any]], name: str, code: str) -> bool:
    """Whether pushes to a repository are replicated into a region."""
    for rule in rules:
        filters = [item["filter"] for item in rule.get("repositoryFilters", ())]
        if any(item["region"] == code for item in rule["destinations"]) and (not filters or name.startswith(tuple(filters))):
            return True
    return False


def _gaps(ask: Ask, names: list[str], there: set[str], ways: tuple[list[Any], list[Any]]) -> Iterator[Gap]:
    here, other = ask.codes
    rule = "aws ecr put-replication-configuration --region {{}}: a rule to {{}} for it; then push again: only later pushes replicate"
    for name in names:
        if not _covered(ways[0], name, other):
            yield Gap(f"repository {name}", f"pushes to it are not replicated to {other}", rule.format(here, other))
        elif name not in there:
            yield Gap(f"repository {name}", f"nothing was pushed since it is replicated: it is not in {other}", "push its images again")
    back = [name for name in names if name in there and not _covered(ways[1], name, here)]
    if back:
        shown = ", ".join(back[:3]) + (f" and {len(back) - 3} more" if len(back) > 3 else "")
        yield Gap(f"repositories {shown}", f"pushes in {other} are not replicated back to {here}", rule.format(other, here))


def _newest(ask: Ask, name: str) -> str:
    """The tag that was pushed last among the first 1,000 images; empty: none has a tag. Raises StepError."""
    answer = ask.read(ask.primary, DETAILS, repositoryName=name, filter={"tagStatus": "TAGGED"}, maxResults=1000)
    images = [item for item in answer["imageDetails"] if item.get("imageTags")]
    if not images:
        return ""
    newest = max(images, key=lambda item: (item["imagePushedAt"], item["imageTags"]))
    return str(sorted(newest["imageTags"])[0])
