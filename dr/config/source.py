"""YAML 1.2 text → plain values, with the line of every key and item. Duplicate keys are refused here.

``ruamel.yaml`` composes the nodes (which know their lines); the values are built here, so that nothing but maps, lists, strings, numbers,
booleans and null can come out of a file, and a date or ``1:30`` stays the text that was written.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dr.config.problems import Problems
from dr.errors import FileError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]
"""What a file can hold."""

Place = tuple[str | int, ...]
"""Keys and indices from the top of the file to a value."""

_TAG = "tag:yaml.org,2002:"
_MOST_VALUES = 100_000  # aliases of aliases would otherwise grow without bound ("billion laughs")
_MOST_BYTES = 10_000_000
_MOST_DIGITS = 18  # what 64 bits hold


@dataclass
class Source:
    """A file as it was read.

    shown: path as the person gave it. lines: 1-based line of each place: of the key in a map, of the item in a list.
    """

    path: Path
    shown: str
    raw: bytes
    data: Value = None
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest thing around it that exists (a missing field: its map); at least 1."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(path: Path) -> Source:
    """Reads a YAML file.

    Raises:
        FileError: it cannot be read, is no regular file, is too large, is not YAML, is empty, or names a key twice.
    """
    shown = str(path)
    try:
        raw = _bytes(path)
    except FileNotFoundError:
        raise FileError(shown, 0, "", "no such file", hint="check the path; relative paths start in the current directory") from None
    except OSError as error:
        raise FileError(shown, 0, "", f"cannot be read: {error.strerror}") from error
    except ValueError:  # a scenario may name its runbook with a NUL in it
        raise FileError(ascii(shown), 0, "", "expected the path of a file") from None
    source = Source(path, shown, raw)
    problems = Problems(source)
    try:
        node = _compose(source)
        if node is None:
            raise FileError(shown, 0, "", "expected a YAML map, the file is empty")
        source.data = _Builder(source, problems).value(node, ())
    except RecursionError:
        raise FileError(shown, 0, "", "expected fewer maps and lists inside each other") from None
    problems.raise_if_any()
    return source


def _bytes(path: Path) -> bytes:
    """The content of a regular file: a pipe may never end, and opening one may wait for ever. Raises OSError, FileError."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # of a directory the system says what it is
        raise FileError(str(path), 0, "", "expected a regular file", hint="a pipe or a device is not read: write it to a file first")
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise FileError(str(path), 0, "", f"expected at most {_MOST_BYTES // 1_000_000} MB")
    return raw


def _compose(source: Source) -> Node | None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = source.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = source.raw.count(b"\n", 0, error.start) + 1
        raise FileError(source.shown, line, "", "expected UTF-8 text") from None
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise FileError(source.shown, line, "", f"not valid YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        first = str(error).strip().splitlines()[0]
        raise FileError(source.shown, 0, "", f"not valid YAML: {first}") from None
    return node


class _Builder:
    """Builds plain values from nodes; what is wrong goes into ``problems``, so that one reading finds all of it."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.source, self.problems = source, problems
        self.open: set[int] = set()
        self.count = 0

    def value(self, node: Node, place: Place) -> Value:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        self.source.lines.setdefault(place, node.start_mark.line + 1)
        self.count += 1
        if id(node) in self.open:
            self.problems.add(place, "expected no alias that contains itself", stop=True)
        if self.count > _MOST_VALUES:
            text = f"expected at most {_MOST_VALUES} values; what an alias stands for counts each time it is used"
            self.problems.add(place, text, stop=True)
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._map(node, place)
            if isinstance(node, SequenceNode):
                for index, item in enumerate(node.value):
                    self.source.lines[(*place, index)] = item.start_mark.line + 1
                return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, place)
        finally:
            self.open.discard(id(node))

    def _map(self, node: Node, place: Place) -> Value:
        found: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str) or not _is_text(key):
                self.problems.add(place, "expected plain text as a key", line=line)
            elif key in found:
                first = self.source.lines[(*place, key)]
                self.problems.add((*place, key), f"duplicate key; the first one is in line {first}", line=line)
            else:
                self.source.lines[(*place, key)] = line
                found[key] = self.value(value_node, (*place, key))
        return found

    def _scalar(self, node: Node, place: Place) -> Value:
        text: str = node.value
        match str(node.tag).removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" as kind:
                return self._number(text.replace("_", ""), kind, place)
            case "str" | "timestamp":
                if not _is_text(text):
                    self.problems.add(place, "expected text; half of a surrogate pair is none")
                return text
        self.problems.add(place, f"expected plain YAML without the tag {node.tag}")
        return None

    def _number(self, digits: str, kind: str, place: Place) -> Value:
        try:
            if kind == "float":
                return float(digits.lower().replace(".inf", "inf").replace(".nan", "nan"))
            number = int(digits, 0 if digits.lstrip("+-")[:2].lower() in ("0x", "0o", "0b") else 10)
        except ValueError:  # also thousands of digits
            number = None
        if number is None or abs(number) >= 10**_MOST_DIGITS:
            self.problems.add(place, f"expected a number of at most {_MOST_DIGITS} digits")
            return None
        return number


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
