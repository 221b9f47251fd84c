"""What an account has in two regions that ``dr`` can look after: reads only, bounded, and each service for itself.

How the parts lie::

    found.py      Found, Gap, Refusal: what comes out, as plain data
    ask.py        Ask: counted questions in both regions; which resources are meant (tags)
    databases.py tables.py buckets.py images.py values.py keys.py trust.py capacity.py names.py    one group of services each
    assemble.py   all of it as components of one runbook: their order, names, and what needs what

A service that cannot be asked is said, and the others are asked all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dr.errors import StepError
from dr.providers.aws.discover import buckets, capacity, databases, images, keys, names, tables, trust, values
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.discover.assemble import Component, assemble
from dr.providers.aws.discover.found import Found, Refusal

__all__ = ["Component", "Discovered", "discover"]

_WIDTH = 8


class Discovered(NamedTuple):
    """Components in the order of a runbook, what was not told, and how many calls it took."""

    components: Sequence[Component]
    refused: Sequence[Refusal]
    calls: int


def discover(ask: Ask, account: str) -> Discovered:
    """Asks all services at the same time. Raises nothing for what one of them refuses."""
    groups: dict[str, Callable[[], Iterable[Found]]] = {
        "RDS": lambda: databases.look(ask),
        "DynamoDB": lambda: tables.look(ask, account),
        "S3": lambda: buckets.look(ask, account),
        "ECR": lambda: images.look(ask),
        "Secrets Manager": lambda: values.secrets(ask),
        "Parameter Store": lambda: values.parameters(ask, account),
        "KMS": lambda: keys.look(ask),
        "Route 53 and ACM": lambda: names.look(ask),
        "IAM": lambda: trust.look(ask),
        "EKS": lambda: capacity.nodegroups(ask),
        "ECS": lambda: capacity.services(ask),
        "EC2 Auto Scaling": lambda: capacity.groups(ask),
        "Lambda": lambda: capacity.event_sources(ask),
    }

    def answered(name: str) -> list[Found]:
        try:
            return list(groups[name]())
        except StepError as error:
            ask.refuse(name, error)
            return []

    with ThreadPoolExecutor(_WIDTH, thread_name_prefix="discover") as pool:
        found = [item for items in pool.map(answered, groups) for item in items]
    refused = sorted(set(ask.refused), key=lambda item: (item.about, item.fact))
    return Discovered(assemble(found), refused, ask.calls)
