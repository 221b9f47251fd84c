"""The graph of steps: order, cycles, critical path, slack. The one home of networkx; at run time plain counters do the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import networkx as nx

from dr.errors import UsageError
from dr.model.plan import Slack, StepSpec

Graph = nx.DiGraph


def build(needs: Mapping[str, Iterable[str]]) -> Graph[str]:
    """A graph with an edge from each need to what waits for it.

    Args:
        needs: for each node the nodes it waits for, in a stable order.

    Raises:
        UsageError: a cycle, printed whole; or a need that does not exist.
    """
    graph: Graph[str] = nx.DiGraph()
    graph.add_nodes_from(needs)
    for node, wanted in needs.items():
        for need in wanted:
            if need not in needs:
                raise UsageError(f"{node} needs {need}, which does not exist")
            graph.add_edge(need, node)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [edge[0] for edge in nx.find_cycle(graph)]
        raise UsageError(
            "these wait for each other in a circle: " + " → ".join([*cycle, cycle[0]]),
            hint="take one of the needs away",
        )
    return graph


def add_unless_circular(graph: Graph[str], before: str, after: str) -> bool:
    """Adds an edge between two nodes; False where it is there already, or where it would close a circle."""
    if graph.has_edge(before, after) or nx.has_path(graph, after, before):
        return False
    graph.add_edge(before, after)
    return True


def needed_by(graph: Graph[str], node: str) -> frozenset[str]:
    """Everything that a node waits for, directly or not."""
    return frozenset(nx.ancestors(graph, node))


def waves(graph: Graph[str]) -> list[list[str]]:
    """Generations for people to look at: each wave's nodes wait only for earlier ones. At run time there are no such barriers."""
    position = {node: number for number, node in enumerate(graph)}
    return [sorted(wave, key=position.__getitem__) for wave in nx.topological_generations(graph)]


def reduced(graph: Graph[str]) -> list[tuple[str, str]]:
    """The edges without those that follow from others: for pictures."""
    return sorted(nx.transitive_reduction(graph).edges)


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
    order = list(nx.topological_sort(graph))
    zero = timedelta(0)
    finish: dict[str, timedelta] = {}
    before: dict[str, str | None] = {}
    for node in order:
        last = max(graph.predecessors(node), key=lambda need: finish[need], default=None)
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
        bounds = [latest[after] - estimate[after] for after in graph.successors(node) if after in latest]
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
