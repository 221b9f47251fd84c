"""The picture of ``dr/__init__.py`` holds: layers, homes of third parties, clocks, docstrings, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "dr").rglob("*.py"))
LAYERS = (
    ("errors",), ("model",), ("ports",), ("engine", "monitor", "providers", "store"), ("lab", "simulate", "drill", "report"),
    ("config",), ("app",), ("cli",), ("__main__",),
)  # fmt: skip
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
HOMES = {
    "boto3": ("dr/providers/aws", "dr/providers/selfhosted/s3"), "botocore": ("dr/providers/aws", "dr/providers/selfhosted/s3"),
    "networkx": ("dr/engine/graph.py",),
    "prometheus_client": ("dr/monitor",), "click": ("dr/cli",), "rich": ("dr/cli",), "structlog": ("dr/cli",),
    "ruamel": ("dr/config",), "jinja2": ("dr/report",),
    "psycopg": ("dr/providers", "dr/lab"), "httpx": ("dr/providers", "dr/lab"), "dns": ("dr/providers", "dr/lab"),
    "random": ("dr/providers/system.py", "dr/providers/sim", "dr/lab/platform"),
}  # fmt: skip
CLOCKS = ("dr/providers/system.py", "dr/providers/sim", "dr/lab/platform", "dr/lab/link.py")  # the real clock; the lab's own processes
TIME = {"time.sleep", "time.time", "time.time_ns", "time.monotonic", "time.perf_counter", "datetime.now", "datetime.utcnow", "date.today"}
REGISTRIES = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org", "registry." + "yarnpkg.com")


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lives_in(path: Path, homes: tuple[str, ...]) -> bool:
    return any(where(path) == home or where(path).startswith(f"{home}/") for home in homes)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported module with its line, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{where(path)}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.expr) -> str:
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else "?"


@pytest.mark.parametrize("path", FILES, ids=where)
def test_layers_and_homes(path: Path) -> None:
    """A package imports its own folder and anything lower; third parties stay at home."""
    wrong, own = [], path.relative_to(ROOT / "dr").parts[0].removesuffix(".py")
    assert own in RANK or own == "__init__", f"{own} has no layer"
    for line, name in imports(path):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top == "dr" and other in RANK and other != own and RANK[other] >= RANK.get(own, 0):
            wrong.append(f"{where(path)}:{line}: {own} must not import {other}")
        if top in HOMES and not lives_in(path, HOMES[top]):
            wrong.append(f"{where(path)}:{line}: {top} lives in {', '.join(HOMES[top])}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=where)
def test_clocks_errors_docstrings_and_size(path: Path) -> None:
    """Time is handed in, ``except Exception`` stands in one place, every module says what it is, no file grows beyond reading."""
    text = path.read_text()
    tree = ast.parse(text)
    wrong = [] if ast.get_docstring(tree) else ["no docstring"]
    wrong += [f"{text.count(chr(10))} lines"] if text.count("\n") > 400 else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ".".join(dotted(node.func).split(".")[-2:]) in TIME and not lives_in(path, CLOCKS):
            wrong.append(f"line {node.lineno}: {dotted(node.func)}: hand in a Clock")
        if isinstance(node, ast.ExceptHandler) and where(path) != "dr/engine/attempt.py":
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(item is None or dotted(item) == "Exception" for item in caught):
                wrong.append(f"line {node.lineno}: except Exception")
    assert not wrong, f"{where(path)}: " + "; ".join(wrong)


def test_no_registry_is_named() -> None:
    """Which registry is asked is the business of pip, apt and their configuration."""
    skip = {".git", ".venv", "lab-state", "build", "reports", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
    files = (path for path in ROOT.rglob("*") if not skip & set(path.relative_to(ROOT).parts) and path.is_file())
    texts = {path: path.read_bytes().decode("utf-8", "replace") for path in files}
    assert not [f"{where(path)}: {name}" for path, text in texts.items() for name in REGISTRIES if name in text]
