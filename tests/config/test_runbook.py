"""A runbook is read whole, or refused with file, line, field and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dr.config.runbook import document, find_cycle, from_document, in_component, load_runbook
from dr.config.schema import schema
from dr.errors import ExitCode, FileError, StateUnreadable, UsageError
from tests.config.conftest import StoreConfig, Stores, facts

Write = Callable[..., Path]


def refusal(path: Path, stores: Stores) -> FileError:
    with pytest.raises(FileError) as caught:
        load_runbook(path, stores)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(path) in caught.value.message
    return caught.value


def test_a_good_runbook_is_read_whole(runbook_file: Write, stores: Stores) -> None:
    """Objectives, own RPO, typed settings, base directory and digest are there."""
    path = runbook_file()
    runbook = load_runbook(path, stores)
    assert runbook.objectives.rto == timedelta(hours=1)
    assert runbook.rpo("db") == timedelta(minutes=5)
    assert runbook.rpo("app") == timedelta(minutes=15)
    config = runbook.components["db"].config
    assert isinstance(config, StoreConfig)
    assert config.regions["west"].port == 15432
    assert runbook.base == str(path.parent)
    assert len(runbook.sha256) == 64


WRONG = [
    pytest.param(("home: east", "hoem: east"),
                 [(6, "hoem", 'unknown key; did you mean "home"?'), (1, "home", "required")], id="unknown key"),
    pytest.param(("home: east", "home: eats"), [(6, "home", 'unknown region; did you mean "east"?')], id="unknown home"),
    pytest.param(("kind: store", "kind: stoer"), [(10, "components.db.kind", 'unknown kind; did you mean "store"?')], id="unknown kind"),
    pytest.param(("    kind: store\n", ""), [(9, "components.db.kind", "required")], id="no kind"),
    pytest.param(("needs: [db]", "needs: [bd]"), [(16, "components.app.needs[0]", 'unknown component; known: db')], id="needs"),
    pytest.param(("needs: [db]", "needs: db"), [(16, "components.app.needs", "expected a list")], id="needs as text"),
    pytest.param(("rto: 1h", "rto: soon"), [(7, "objectives.rto", "expected a duration such as 15m")], id="malformed duration"),
    pytest.param(("rpo: 5m", "rpo: 5"), [(11, "components.db.rpo", "expected a duration such as 15m")], id="duration without unit"),
    pytest.param(("rpo: 5m", "rpo: -5m"), [(11, "components.db.rpo", "expected a duration")], id="negative duration"),
    pytest.param(("rpo: 5m", "patience: 3"), [(11, "components.db.patience", "expected a duration")], id="duration of a kind"),
    pytest.param(("      west: {address: 127", "      wset: {address: 127"),
                 [(15, "components.db.regions.wset", 'unknown region; did you mean "west"?'),
                  (13, "components.db.regions", "not there: west")], id="unknown region in a component"),
    pytest.param(("port: 15432}\n      west", "prot: 15432}\n      west"),
                 [(14, "components.db.regions.east.prot", 'unknown key; did you mean "port"?'),
                  (14, "components.db.regions.east.port", "required")], id="unknown key deep inside"),
    pytest.param(("port: 15432", "port: many"), [(14, "components.db.regions.east.port", "expected a whole number")], id="number"),
    pytest.param(("rpo: 5m", "kind: store"),
                 [(11, "components.db.kind", "duplicate key; the first one is in line 10")], id="duplicate key"),
    pytest.param(("dr/v1", "dr/v2"), [(1, "apiVersion", "expected 'dr/v1'")], id="api version"),
    pytest.param(("name: small", "name: Small One"), [(2, "name", "expected lower-case")], id="name"),
    pytest.param(("  db:", "  DB:"), [(9, "components.DB", "expected lower-case"), (16, "components.app.needs[0]", "unknown component")],
                 id="component name"),
    pytest.param(("{file: secret}", "hunter2"), [(12, "components.db.password", "a credential never stands in a file")], id="credential"),
    pytest.param(("{file: secret}", "{file: a, env: B}"), [(12, "components.db.password", "expected exactly one of")], id="two references"),
    pytest.param(("objectives: {rto: 1h, rpo: 15m}", "objectives: [1h]"), [(7, "objectives", "expected a map")], id="list for a map"),
    pytest.param(("home: east", "home: east\nsha256: x"), [(7, "sha256", "unknown key")], id="a field of ours"),
    pytest.param(("home: east", "home: [east"), [(7, "", "not valid YAML")], id="not YAML"),
    pytest.param(("  west: {}\n", ""), [(3, "regions", "expected at least 2"), (14, "components.db.regions.west", "unknown region"),
                                        (15, "components.app.regions.west", "unknown region")], id="one region"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), WRONG)
def test_what_is_wrong_is_named_with_line_and_field(
    change: tuple[str, str], expected: list[tuple[int, str, str]], runbook_file: Write, stores: Stores
) -> None:
    """Each kind of mistake gives exactly its line, its field and a sentence; nothing else is complained of."""
    found = facts(refusal(runbook_file(change), stores))
    assert {(line, field) for line, field, _ in found} == {(line, field) for line, field, _ in expected}
    for line, field, sentence in expected:
        assert any(item[:2] == (line, field) and sentence in item[2] for item in found), f"{sentence!r} not in {found}"


def test_all_mistakes_come_at_once_sorted_by_line(runbook_file: Write, stores: Stores) -> None:
    """Three mistakes in three places are three lines of one error."""
    error = refusal(runbook_file(("needs: [db]", "needs: [nope]"), ("rto: 1h", "rto: x"), ("kind: store", "kind: nope")), stores)
    assert [item[0] for item in facts(error)] == [7, 10, 16]
    assert len(error.message.splitlines()) == 3


def test_a_cycle_is_printed_whole(runbook_file: Write, stores: Stores) -> None:
    """db → app → db: every component of the circle is named."""
    error = refusal(runbook_file(("rpo: 5m", "needs: [app]")), stores)
    assert facts(error) == [(11, "components.db.needs", "components need each other in a circle: db → app → db")]


def test_find_cycle_finds_long_ones_and_none() -> None:
    """The circle is told without the nodes that only lead to it; a diamond is no circle."""
    assert find_cycle({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]
    assert find_cycle({"a": ["a"]}) == ["a", "a"]
    assert find_cycle({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []
    assert find_cycle({str(n): [str(n + 1)] for n in range(5_000)}) == []


def test_a_written_secret_is_never_repeated(runbook_file: Write, stores: Stores) -> None:
    """Whoever writes a password into the file does not find it in the message."""
    error = refusal(runbook_file(("{file: secret}", "hunter2"), ("{env: APP}", "[hunter2]")), stores)
    assert len(facts(error)) == 2
    assert "hunter2" not in error.message + error.hint + repr(error)


def test_yaml_is_1_2(runbook_file: Write, stores: Stores) -> None:
    """``no`` and ``1:30`` are text, as written."""
    runbook = load_runbook(runbook_file(("address: 127.0.10.1", "address: no"), ("address: 127.0.20.1", "address: 1:30")), stores)
    config = runbook.components["db"].config
    assert isinstance(config, StoreConfig)
    assert [config.regions[name].address for name in ("east", "west")] == ["no", "1:30"]


@pytest.mark.parametrize(("text", "line"), [("", 0), ("- a\n", 1), ("just text", 1), ("a: &x [*x]\n", 1), ("a: \xff\n", 1)])
def test_files_that_are_no_runbook_at_all(text: str, line: int, tmp_path: Path, stores: Stores) -> None:
    """Empty, a list, text, an alias of itself, not UTF-8: refused, never a traceback."""
    path = tmp_path / "odd.yaml"
    path.write_bytes(text.encode("latin-1"))
    assert refusal(path, stores).line == line


def test_no_such_file(tmp_path: Path, stores: Stores) -> None:
    """A missing file says so."""
    assert "no such file" in refusal(tmp_path / "none.yaml", stores).message


def test_what_a_kind_says_gets_its_line(runbook_file: Write, stores: Stores) -> None:
    """A field at the front of the message is looked up in the component; without one the component's line counts."""
    runbook = load_runbook(runbook_file(), stores)
    error = in_component(runbook, "db", UsageError("db: regions.east: two of them", hint="one"))
    assert isinstance(error, FileError)
    assert (error.line, error.field, error.expected, error.hint) == (14, "components.db.regions.east", "two of them", "one")
    whole = in_component(runbook, "app", UsageError("app: makes no sense"))
    assert isinstance(whole, FileError)
    assert (whole.line, whole.field) == (16, "components.app")
    Path(runbook.path).write_text("changed: true\n")
    assert not isinstance(in_component(runbook, "app", UsageError("x")), FileError)


def test_a_run_can_keep_its_runbook(runbook_file: Write, stores: Stores) -> None:
    """document and from_document are inverse; a document of a foreign version is refused, not guessed."""
    runbook = load_runbook(runbook_file(), stores)
    kept = document(runbook)
    assert from_document(kept, stores) == runbook
    with pytest.raises(StateUnreadable):
        from_document({**kept, "home": 3}, stores)
    with pytest.raises(StateUnreadable):
        from_document({"components": None}, stores)


def test_the_schema_knows_every_kind_and_our_durations(stores: Stores) -> None:
    """apiVersion as people write it, the kind's settings, no internal fields, durations as 15m and not as ISO 8601."""
    whole = schema(stores)
    assert "apiVersion" in whole["properties"] and "sha256" not in whole["properties"]
    component = whole["$defs"]["kind:store"]
    assert {"kind", "needs", "rpo", "password", "regions", "patience"} == set(component["properties"])
    assert component["required"] == ["kind", "password", "regions"]
    assert '"format": "duration"' not in str(whole).replace("'", '"')
