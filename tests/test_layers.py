"""Imports point one way, read from the source: training -> evals -> pir_serve; ui imports at most evals; inside
pir_serve the pure modules need only the standard library, and heavy packages are imported where an extra brings them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "pir_serve": {"pir_serve"},
    "evals": {"evals", "pir_serve"},
    "training": {"training", "evals", "pir_serve"},
    "ui": {"ui", "evals"},
    "benchmarks": {"benchmarks", "training", "evals", "pir_serve"},
}
OURS = {"pir_serve", "evals", "training", "ui", "tests", "benchmarks"}
PURE = ("pir_serve/markup.py", "pir_serve/trajectory.py", "pir_serve/uncertainty.py", "pir_serve/errors.py")
HEAVY = {"torch", "transformers", "trl", "lm_eval", "gradio", "datasets", "vllm", "sglang"}
MAY_BE_HEAVY = ("pir_serve/engines/", "evals/lm.py", "training/", "benchmarks/", "ui/")


def imported(file: Path, *, at_top: bool = False) -> Iterator[str]:
    """Dotted names that a file imports; `at_top`: only those that run when the module is imported."""
    tree = ast.parse(file.read_text())
    nodes = _top_level(tree) if at_top else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _top_level(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from _top_level(node)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_point_one_way(folder: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in sources(folder)
        for name in imported(file)
        if name.split(".")[0] in OURS - ALLOWED[folder]
    ]
    assert not wrong


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_need_only_the_standard_library(name: str) -> None:
    outside = {m.split(".")[0] for m in imported(ROOT / name)} - set(sys.stdlib_module_names) - {"pir_serve"}
    assert not outside


def test_heavy_packages_are_imported_only_where_an_extra_brings_them() -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for folder in ("pir_serve", "evals", "ui")
        for file in sources(folder)
        if not str(file.relative_to(ROOT)).startswith(MAY_BE_HEAVY)
        for name in imported(file, at_top=True)
        if name.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_files_stay_short() -> None:
    long = [
        f"{f.relative_to(ROOT)}: {n}"
        for d in ALLOWED
        for f in sources(d)
        if (n := len(f.read_text().splitlines())) > 330
    ]
    assert not long
