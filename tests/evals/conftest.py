"""What runs of evaluation share: generated rows, a small tokenizer, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evals.cli import evaluation
from evals.rows import Row
from evals.tasks.pir_builtin.utils import rows
from tests.serve.conftest import write_tokenizer


@pytest.fixture(scope="session")
def builtin_rows() -> list[Row]:
    """Those of `pir_builtin` with `pairs=9`."""
    return rows(pairs=9)


@pytest.fixture(scope="session")
def small_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizers") / "small")


@pytest.fixture
def pir_eval(tmp_path: Path) -> Callable[..., Result]:
    """`pir_eval("run", "--tasks", ...)`; a traceback fails the test."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(evaluation, [str(argument) for argument in arguments], prog_name="pir eval")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
