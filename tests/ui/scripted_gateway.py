"""A gateway over a scripted, slow engine: `python -m tests.ui.scripted_gateway PORT STORE TOKENIZER [KEY ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from pir_serve.api.build import build_secret
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.api.server import run
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.sqlite import SqliteStore
from tests.fakes import Line, ScriptedEngine
from tests.serve.brains import responses
from tests.serve.conftest import write_tokenizer

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> ${1+1} {{value}}'
MATHS = "The area is $\\frac{a}{2}$, so **twice** it is \\(a\\):\n\n\\[\\boxed{\\sqrt{a}}\\]"


def play(prompt: str) -> str | Line:
    """By a word of the prompt: hostile text everywhere; a long thought, slowly; else a question, then mathematics."""
    told = responses(prompt)
    if "hostile" in prompt:
        if not told:
            return f"\nI think {HOSTILE}\n<asking>Which {HOSTILE}?</asking>"
        return f"\nTold {HOSTILE}\n</think>\nIt is {HOSTILE}."
    if "slowly" in prompt:
        steps = "".join(f"Step number {k} of a long thought.\n" for k in range(1, 201))
        return Line(f"\n{steps}</think>\nDone.", delay_s=0.03)
    if not told:
        return Line(
            "\nThe length is known.\nThe unit is not given.\n<asking>Metric or imperial?</asking>", delay_s=0.02
        )
    return Line(f"\nThe unit is {told[-1]}.\nNow it is clear.\n</think>\n{MATHS}", delay_s=0.02)


def main(port: int, store: Path, tokenizer: Path, *keys: str) -> None:
    if not (tokenizer / "tokenizer.json").exists():
        write_tokenizer(tokenizer)
    settings = Settings(port=port, store=store, tokenizer=tokenizer, api_key=keys, shutdown_s=1)
    model = ServedModel("scripted", ScriptedEngine(tokenizer, play), PromptCodec.load(tokenizer))
    run(Gateway(settings, [model], SqliteStore(settings.store_path), build_secret(settings)))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
