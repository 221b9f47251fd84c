"""Questions of a discovery: reads only, counted, in both regions; which resources are meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from dr.errors import Permanent, StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.discover.found import Refusal
from dr.providers.aws.hub import WHO, Answer, Aws
from dr.providers.aws.place import Place

T = TypeVar("T")
Item = TypeVar("Item")

RESOURCES = Call("resourcegroupstaggingapi", "GetResources", action="tag:GetResources")
"""Every resource of a region that has or had tags, by tags and types, 100 a page.

https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html; InvalidParameterException, ThrottledException,
PaginationTokenExpiredException, InternalServiceException. Not there: Auto Scaling groups, IAM roles (their own listings tell), and what has
no tags at all."""

SEARCHED = (
    "rds:cluster", "rds:db", "dynamodb:table", "s3", "ecr:repository", "secretsmanager:secret", "ssm:parameter", "kms:key",
    "acm:certificate", "ecs:service", "lambda:function",
)  # fmt: skip
"""Types whose tags are searched by one question. Of the others (hosted zones, EKS, Auto Scaling groups, roles) each tells its own."""

MOST = 300
"""Of one kind, so many resources are asked for one by one; an account with more is cut down with ``--tag``."""


class Ask:
    """All questions of one discovery. Threads may ask at once.

    Args:
        tags: what a resource must carry to be meant; none: everything is.
    """

    def __init__(self, aws: Aws, primary: Place, secondary: Place, tags: Mapping[str, Sequence[str]]) -> None:
        self.aws, self.primary, self.secondary, self.tags = aws, primary, secondary, tags
        self.calls = 0
        self.refused: list[Refusal] = []
        self._lock, self._tagging = Lock(), Lock()
        self._tagged: frozenset[str] | StepError | None = None

    @property
    def codes(self) -> tuple[str, str]:
        """AWS's names of both regions."""
        return self.primary.code, self.secondary.code

    def read(self, place: Place, call: Call, **parameters: Any) -> Answer:
        """One question. Raises StepError, with the missing permission where there is none."""
        self._count()
        try:
            return self.aws.read(place, call, **parameters)
        except StepError as error:
            raise _told(call, error) from error.__cause__  # its code stays

    def pages(self, place: Place, call: Call, key: str, **parameters: Any) -> list[Any]:
        """All items of a listing, over all pages. Raises StepError."""
        found: list[Any] = []
        try:
            for page in self.aws.pages(place, call, **parameters):
                self._count()
                found += page.get(key, ())
        except StepError as error:
            self._count()
            raise _told(call, error) from error.__cause__  # its code stays
        return found

    def both(self, call: Call, key: str, **parameters: Any) -> tuple[list[Any], list[Any]]:
        """A listing of the primary and of the secondary. Raises StepError: one of them did not say."""
        return self.pages(self.primary, call, key, **parameters), self.pages(self.secondary, call, key, **parameters)

    def each(self, items: Iterable[Item], job: Callable[[Item], T]) -> list[tuple[Item, T | StepError]]:
        """A question for each item, at the same time; in order, errors in their places.

        Raises:
            Permanent: there are too many to be asked one by one.
        """
        asked = list(items)
        if len(asked) > MOST:
            raise Permanent(f"{len(asked)} of them would have to be asked one by one", hint="choose with --tag KEY=VALUE")
        return list(zip(asked, self.aws.many([partial(job, item) for item in asked]), strict=True))

    def picks(self, *arns: str) -> bool:
        """Whether one of these is meant. Raises StepError: tags cannot be searched."""
        return not self.tags or not self._searched().isdisjoint(arns)

    def has(self, tags: Mapping[str, str]) -> bool:
        """Whether a resource with these tags is meant."""
        return all(tags.get(key) in values for key, values in self.tags.items())

    def _searched(self) -> frozenset[str]:
        with self._tagging:
            if self._tagged is None:
                filters = [{"Key": key, "Values": list(values)} for key, values in self.tags.items()]
                try:
                    listed = self.pages(
                        self.primary, RESOURCES, "ResourceTagMappingList", TagFilters=filters, ResourceTypeFilters=list(SEARCHED),
                        ResourcesPerPage=100,
                    )  # fmt: skip
                    self._tagged = frozenset(str(item["ResourceARN"]) for item in listed)
                except StepError as error:
                    self._tagged = error
        if isinstance(self._tagged, StepError):
            raise self._tagged
        return self._tagged

    def account(self, place: Place) -> str:
        """Whose credentials those of a region are. Raises StepError."""
        return str(self.read(place, WHO)["Account"])

    def refuse(self, about: str, error: StepError) -> None:
        """Keeps that something could not be asked."""
        with self._lock:
            self.refused.append(Refusal(about, error.message, error.hint))

    def _count(self) -> None:
        with self._lock:
            self.calls += 1


def pairs(tags: Iterable[Mapping[str, str]], key: str = "Key", value: str = "Value") -> dict[str, str]:
    """Tags as most APIs list them."""
    return {str(tag[key]): str(tag.get(value, "")) for tag in tags}


def _told(call: Call, error: StepError) -> StepError:
    """The same with a hint for somebody who has no runbook yet."""
    if not error.hint.startswith("allow "):
        return error
    return type(error)(error.message, hint=f"allow {', '.join(call.iam)}, or go on without it")
