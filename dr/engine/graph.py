"""The graph of steps: order, cycles, critical path, slack. The one home of networkx; at run time plain counters do the work.

A plan is made in every status and at the start of every failover, and loading networkx takes longer than everything else in it. So the
order and the critical path are a few lines of our own, which the tests hold against networkx; networkx itself comes in where nobody
waits: to name a circle, and for pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from dr.errors import UsageError
from dr.model.plan import Slack, StepSpec

if TYPE_CHECKING:
    import networkx as nx


class Graph:
    """Nodes in the order in which they were named, with an edge from each need to what waits for it. Never has a circle.

    needs, waiting: of each node, the nodes that it waits for and those that wait for it, in the order in which they were added.
    """

    def __init__(self, nodes: Iterable[str]) -> None:
        self.needs: dict[str, dict[str, None]] = {node: {} for node in nodes}
        self.waiting: dict[str, dict[str, None]] = {node: {} for node in self.needs}

    def add(self, before: str, after: str) -> None:
        """Adds an edge between two nodes that are there; the caller sees to it that it closes no circle."""
        self.needs[after][before] = None
        self.waiting[before][after] = None


def build(needs: Mapping[str, Iterable[str]]) -> Graph:
    """A graph with an edge from each need to what waits for it.

    Args:
        needs: for each node the nodes it waits for, in a stable order.

    Raises:
        UsageError: a cycle, printed whole; or a need that does not exist.
    """
    graph = Graph(needs)
    for node, wanted in needs.items():
        for need in wanted:
            if need not in needs:
                raise UsageError(f"{node} needs {need}, which does not exist")
            graph.add(need, node)
    if sum(len(wave) for wave in waves(graph)) < len(graph.needs):
        import networkx as nx

        cycle = [edge[0] for edge in nx.find_cycle(_library(graph))]
        raise UsageError(
            "these wait for each other in a circle: " + " → ".join([*cycle, cycle[0]]),
            hint="take one of the needs away",
        )
    return graph


def _library(graph: Graph) -> nx.DiGraph[str]:
    """The same graph for networkx."""
    import networkx as nx

    same: nx.DiGraph[str] = nx.DiGraph()
    same.add_nodes_from(graph.needs)
    same.add_edges_from((need, node) for node, needs in graph.needs.items() for need in needs)
    return same


def add_unless_circular(graph: Graph, before: str, after: str) -> bool:
    """Adds an edge between two nodes; False where it is there already, or where it would close a circle."""
    if before == after or before in graph.needs[after] or after in needed_by(graph, before):
        return False
    graph.add(before, after)
    return True


def needed_by(graph: Graph, node: str) -> frozenset[str]:
    """Everything that a node waits for, directly or not."""
    found: set[str] = set()
    ahead = [*graph.needs[node]]
    while ahead:
        need = ahead.pop()
        if need not in found:
            found.add(need)
            ahead += graph.needs[need]
    return frozenset(found)


def waves(graph: Graph) -> list[list[str]]:
    """Generations for people to look at: each wave's nodes wait only for earlier ones. At run time there are no such barriers."""
    position = {node: number for number, node in enumerate(graph.needs)}
    left = {node: len(needs) for node, needs in graph.needs.items()}
    wave = [node for node, count in left.items() if not count]
    found = []
    while wave:
        found.append(wave)
        ready = []
        for node in wave:
            for after in graph.waiting[node]:
                left[after] -= 1
                if not left[after]:
                    ready.append(after)
        wave = sorted(ready, key=position.__getitem__)
    return found


def reduced(graph: Graph) -> list[tuple[str, str]]:
    """The edges without those that follow from others: for pictures."""
    import networkx as nx

    return sorted(nx.transitive_reduction(_library(graph)).edges)


def schedule(steps: Sequence[StepSpec], goals: Iterable[str], limit: timedelta) -> tuple[dict[str, Slack], tuple[str, ...], timedelta]:
    """When each step can run, from estimates: the critical path method, forward to the goals and backward from the limit.

    Args:
        steps: the steps, each with its estimate.
        goals: ids of the steps with which service is back.
        limit: the RTO.

    Returns:
        the schedule by step id, the critical path in order, and when the last goal is reached (from the start of the run).
    """
    graph = build({step.id: step.needs for step in steps})
    estimate = {step.id: step.estimate for step in steps}
    order = [node for wave in waves(graph) for node in wave]
    zero = timedelta(0)
    finish: dict[str, timedelta] = {}
    before: dict[str, str | None] = {}
    for node in order:
        last = max(graph.needs[node], key=lambda need: finish[need], default=None)
        before[node] = last
        finish[node] = (zero if last is None else finish[last]) + estimate[node]
    wanted = [goal for goal in goals if goal in finish] or order[-1:]
    end = max((finish[goal] for goal in wanted), default=zero)
    path: list[str] = []
    node_or_none = max(wanted, key=lambda goal: finish[goal], default=None)
    while node_or_none is not None:
        path.append(node_or_none)
        node_or_none = before[node_or_none]
    latest: dict[str, timedelta] = dict.fromkeys(wanted, limit)
    for node in reversed(order):
        bounds = [latest[after] - estimate[after] for after in graph.waiting[node] if after in latest]
        if node in latest:
            bounds.append(latest[node])
        if bounds:
            latest[node] = min(bounds)
    critical = frozenset(path)
    table = {
        node: Slack(
            earliest_start=finish[node] - estimate[node],
            earliest_finish=finish[node],
            latest_finish=latest.get(node),
            slack=latest[node] - finish[node] if node in latest else None,
            critical=node in critical,
        )
        for node in order
    }
    return table, tuple(reversed(path)), end
