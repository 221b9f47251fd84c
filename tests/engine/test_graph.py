"""The graph of steps against networkx: the same order, circles, ancestors and reductions, for any graph."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.engine import graph
from dr.errors import UsageError

NODES = "abcdefgh"
EDGES = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=20)


def made(edges: list[tuple[str, str]]) -> tuple[dict[str, list[str]], nx.DiGraph[str]]:
    """The same graph both ways: needs by node, and networkx's."""
    needs: dict[str, list[str]] = {node: [] for node in NODES}
    for before, after in edges:
        needs[after].append(before)
    other: nx.DiGraph[str] = nx.DiGraph()
    other.add_nodes_from(NODES)
    other.add_edges_from(edges)
    return needs, other


@given(EDGES)
def test_it_answers_as_networkx_does(edges: list[tuple[str, str]]) -> None:
    """A circle is found where there is one, and what is printed is one; else waves, ancestors and the reduction are the same."""
    needs, other = made(edges)
    if not nx.is_directed_acyclic_graph(other):
        with pytest.raises(UsageError) as caught:
            graph.build(needs)
        shown = caught.value.message.split(": ")[1].split(" → ")
        assert shown[0] == shown[-1] and len(set(shown)) == len(shown) - 1
        assert all(other.has_edge(*pair) for pair in pairwise(shown))
        return
    built = graph.build(needs)
    assert [sorted(wave) for wave in graph.waves(built)] == [sorted(wave) for wave in nx.topological_generations(other)]
    assert {node: graph.needed_by(built, node) for node in NODES} == {node: frozenset(nx.ancestors(other, node)) for node in NODES}
    assert graph.reduced(built) == sorted(nx.transitive_reduction(other).edges)


@given(EDGES)
def test_an_edge_that_would_close_a_circle_is_not_added(edges: list[tuple[str, str]]) -> None:
    """Edges offered one by one: the graph stays without circles, and takes each one that leaves it so."""
    built, other = graph.build({node: [] for node in NODES}), made([])[1]
    for before, after in edges:
        closes = before == after or nx.has_path(other, after, before)
        wanted = not other.has_edge(before, after) and not closes
        assert graph.add_unless_circular(built, before, after) is wanted
        if wanted:
            other.add_edge(before, after)
    assert {(need, node) for node, needs in built.needs.items() for need in needs} == set(other.edges)
