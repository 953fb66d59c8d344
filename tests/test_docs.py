"""README and docs against the code: links, commands, flags, variables, settings and examples that must not drift."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from pir_serve.api.request import PirOptions
from pir_serve.cli import cli
from pir_serve.commands.serve import serve
from pir_serve.demo import fresh_gateway
from pir_serve.settings import BUILTIN_MODEL, CONFIG_VARIABLE, MODELS_PREFIX, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NOT_YET = {"pir_serve/builtin/pir-tiny/README.md", "docs/benchmarks.md"}
"""Made by `pir train tiny` and `make bench`; absent from a checkout in which these have not been run."""


class Block(NamedTuple):
    page: Path
    mark: str
    kind: str
    text: str


def blocks(*kinds: str) -> list[Block]:
    return [
        Block(page, found["mark"] or "", found["kind"], found["text"])
        for page in PAGES
        for found in BLOCK.finditer(page.read_text())
        if found["kind"] in kinds
    ]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Of its headings, spelled as GitHub does."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() and str(target.relative_to(ROOT)) in NOT_YET:
            continue
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: no heading for {link}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def shell_lines() -> Iterator[tuple[Path, list[str]]]:
    """The words of each command in the shell blocks, without leading variables and comments."""
    for block in blocks("sh", "bash", "console"):
        text = re.sub(r"\\\n", " ", block.text)
        for command in whole_commands(text):
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words:
                yield block.page, words


def whole_commands(text: str) -> Iterator[str]:
    """Lines, joined where a quotation goes over several."""
    pending = ""
    for line in text.splitlines():
        pending += line
        try:
            shlex.split(pending, comments=True)
        except ValueError:  # no closing quotation yet
            pending += "\n"
            continue
        yield pending
        pending = ""
    assert not pending, f"a quotation without an end: {pending}"


def pir_commands() -> list[tuple[Path, list[str]]]:
    found = []
    for page, words in shell_lines():
        for k, word in enumerate(words):
            if Path(word).name == "pir" and (k == 0 or words[k - 1] == "|"):
                end = next((j for j in range(k, len(words)) if words[j] in ("|", "&&", ";", ">")), len(words))
                found.append((page, words[k + 1 : end]))
    return found


def parse(arguments: list[str]) -> None:
    """Let click read a command line, as `pir` would, without running it. Raises: click.UsageError."""
    command: click.Command = cli
    context = click.Context(cli, info_name="pir")
    while isinstance(command, click.Group):
        assert arguments, "a group without a command"
        sub = command.get_command(context, arguments[0])
        if sub is None:
            raise click.UsageError(f"no such command: {arguments[0]}")
        command, arguments = sub, arguments[1:]
    command.make_context("pir", list(arguments), resilient_parsing=False)


def test_pir_commands_and_their_flags_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = pir_commands()
    assert {words[0] for _, words in commands} >= {"serve", "chat", "problems", "train", "doctor"}
    for page, words in commands:
        try:
            parse(words)
        except click.UsageError as error:
            raise AssertionError(f"{page.name}: pir {shlex.join(words)}: {error.format_message()}") from None


@pytest.mark.parametrize("line", ["serv", "serve --prot 1", "serve --engine llama", "train", "problems --n many"])
def test_a_wrong_command_is_noticed(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        parse(line.split())


def test_pir_commands_in_the_text_exist() -> None:
    for page in PAGES:
        for words in re.findall(r"`pir ([a-z]+)[^`]*`", prose(page)):
            assert cli.get_command(click.Context(cli), words) is not None, f"{page.name}: pir {words}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(page, words[1]) for page, words in shell_lines() if words[0] == "make"}
    named |= {(page, name) for page in PAGES for name in re.findall(r"`make ([a-z][\w-]*)", page.read_text())}
    assert {name for _, name in named} >= {"serve", "test", "demo", "test-engines", "train-smoke", "bench"}
    for page, name in named:
        assert name in targets, f"{page.name}: make {name}"


def test_python_modules_that_are_run_exist() -> None:
    ours = ("pir_serve", "evals", "training", "ui", "benchmarks", "tests")
    modules = [
        (page, words[2])
        for page, words in shell_lines()
        if words[0].endswith("python") and words[1:2] == ["-m"] and words[2].split(".")[0] in ours
    ]
    assert len(modules) >= 3
    for page, module in modules:
        assert importlib.util.find_spec(module) is not None, f"{page.name}: python -m {module}"


def test_files_that_commands_read_exist() -> None:
    folder = re.compile(r"(?:deploy|docs|tests|evals|training|benchmarks|pir_serve)/[\w./-]+")
    for page, words in shell_lines():
        given = words[:-1] if words[0] == "cp" else words
        for word in given:
            if folder.fullmatch(word):
                assert (ROOT / word).exists(), f"{page.name}: {shlex.join(words)}"


def test_images_that_are_run_are_built_and_extras_exist() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    docker = [(page, words) for page, words in shell_lines() if words[0] == "docker"]
    assert any(words[1] == "run" for _, words in docker)
    for page, words in docker:
        if "--target" in words:
            assert words[words.index("--target") + 1] in stages, f"{page.name}: {shlex.join(words)}"
        for word in words:
            assert not word.startswith("pir-serve:") or word.removeprefix("pir-serve:") in stages, (
                f"{page.name}: {word}"
            )
    named = {(page, extra) for page in PAGES for extra in re.findall(r"pir-serve\[(\w+)\]", page.read_text())}
    assert named
    for page, extra in named:
        assert extra in extras, f"{page.name}: {extra}"


def test_toml_and_json_blocks_can_be_read() -> None:
    for block in blocks("toml"):
        tomllib.loads(block.text)
    for block in blocks("json"):
        json.loads(block.text)


def test_variables_that_are_named_are_settings() -> None:
    fields = {f"PIR_{f.name.upper()}" for f in dataclasses.fields(Settings)}
    for page in PAGES:
        for name in re.findall(r"\bPIR_[A-Z_]+\b", page.read_text()):
            if name == CONFIG_VARIABLE or name.startswith(MODELS_PREFIX):
                continue
            assert name in fields, f"{page.name}: {name}"


def test_the_table_of_settings_is_complete_and_right() -> None:
    lines = (ROOT / "docs" / "operations.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in lines if line.startswith("| `PIR_")]
    fields = {f"`PIR_{f.name.upper()}`": f for f in dataclasses.fields(Settings)}
    assert sorted(name for name, _, _ in rows) == sorted(fields)
    flags = {p.name: f"`{p.opts[0]}`" for p in serve.params}
    for name, flag, default in rows:
        field = fields[name]
        assert flag == flags.get(field.name, ""), name
        if default.startswith("`"):
            assert default == f"`{field.default}`", name
        else:  # said in words where there is no value, or a long one
            assert field.default in (None, ()) or field.name == "auto_response", name


def test_the_table_of_request_options_is_complete() -> None:
    section = (ROOT / "docs/protocol.md").read_text().partition("### `pir`\n")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == set(PirOptions.model_fields)


def test_files_that_are_named_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:pir_serve|evals|training|tests|benchmarks|docs)/[\w./-]+)`", prose(page)):
            assert (ROOT / name).exists() or name.rstrip("/").startswith("pir_serve/builtin"), f"{page.name}: {name}"


def test_python_blocks_compile() -> None:
    for block in blocks("python"):
        ast.parse(block.text)


SDK = [b for b in blocks("python") if b.mark == "test: sdk"]


@pytest.fixture(scope="module")
def builtin_url() -> Iterator[str]:
    if not (BUILTIN_MODEL / "config.json").is_file():
        pytest.skip("the built-in model is not in this checkout; `pir train tiny --install` makes it")
    with fresh_gateway() as gateway:
        yield gateway.url


@pytest.mark.parametrize("block", SDK, ids=[f"{b.page.stem}-{k}" for k, b in enumerate(SDK)])
def test_sdk_examples_print_what_their_comments_say(block: Block, builtin_url: str) -> None:
    """A question first, the boxed answer of the comments last; how the model words its question is its own business."""
    printed = run(block.text.replace("http://127.0.0.1:8000", builtin_url)).strip().splitlines()
    promised = re.findall(r"# .*(\\boxed\{.*?\})", block.text)
    assert len(printed) >= 2 and printed[0].rstrip().endswith("?")
    assert promised and promised[-1] in printed[-1]


def run(code: str) -> str:
    out = io.StringIO()
    scope: dict[str, Any] = {"__name__": "example"}
    with redirect_stdout(out):
        exec(compile(code, "example", "exec"), scope)
    scope["client"].close()
    return out.getvalue()


RUN = [b for b in blocks("sh") if b.mark == "test: run"]
ELSEWHERE = """
pir() {
  case "$1" in
    chat) set -- chat --base-url "$GATEWAY" "${@:2}" ;;
    sessions) set -- sessions "$2" --base-url "$GATEWAY" "${@:3}" ;;
  esac
  "$PYTHON" -m pir_serve.cli "$@"
}
"""
"""`pir`, with the address of the test's gateway where there is none."""


@pytest.mark.parametrize("block", RUN, ids=[f"{b.page.stem}-{k}" for k, b in enumerate(RUN)])
def test_shell_examples_run(block: Block, builtin_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", ELSEWHERE + block.text],
        env=os.environ | {"GATEWAY": builtin_url, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, input="", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() and not done.stderr, done.stderr
    if "--json" in block.text:
        replies = [json.loads(line) for line in done.stdout.splitlines()]
        assert [reply["pir"]["status"] for reply in replies] == ["awaiting_user", "completed"]


def build_site(checkout: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=100)


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = build_site(ROOT, tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path.stem for path in tmp_path.glob("*.html")} - {"404", "index"}
    assert pages == {page.stem for page in (ROOT / "docs").glob("*.md")} - {"README"}
    loaded = re.compile(r"<(?:script|img|iframe|link rel=.?stylesheet.?)[^>]*(?:src|href)=.?(?:https?:)?//")
    for page in tmp_path.glob("*.html"):
        assert not loaded.search(page.read_text()), page.name


def test_the_site_is_refused_with_a_dead_link_or_a_page_that_nothing_leads_to(tmp_path: Path) -> None:
    for name, text in (
        ("faq.md", "[x](protocol.md#no-such-heading)"),
        ("faq.md", "[x](gone.md)"),
        ("lost.md", "# Lost"),
    ):
        shutil.copytree(ROOT / "docs", tmp_path / "docs")
        shutil.copy(ROOT / "mkdocs.yml", tmp_path)
        (tmp_path / "docs" / name).write_text(text)
        refused = build_site(tmp_path, tmp_path / "site")
        assert refused.returncode == 1 and ("no-such-heading" in refused.stderr or name in refused.stderr)
        shutil.rmtree(tmp_path / "docs")
