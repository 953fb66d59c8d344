"""What a gateway exports is what training reads: the same texts, the same tokens, loss on the model's own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from pir_serve.trajectory import Author
from tests.fakes import ScriptedEngine
from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process, write_tokenizer
from tests.serve.sessions.samples import keep


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    from pir_serve.api.gateway import Gateway, ServedModel
    from pir_serve.prompt import PromptCodec
    from pir_serve.settings import Settings
    from pir_serve.store.sqlite import SqliteStore
    from tests.serve.conftest import SECRET

    folder = write_tokenizer(tmp_path / "tokenizer")
    settings = Settings(store=tmp_path / "pir.db", tokenizer=folder, model_name="scripted")
    engine = ScriptedEngine(folder, curious)
    model = ServedModel("scripted", engine, PromptCodec.load(folder))
    return Desk(Gateway(settings, [model], SqliteStore(settings.store_path), SECRET), engine)


async def test_exported_rows_are_training_rows(desk: Desk, tmp_path: Path) -> None:
    from training.rows import RowReader
    from training.sft import IGNORED, labelled

    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        done = await keep(desk, 2, "4 dollars", parent=asked)
        file = tmp_path / "rows.jsonl"
        file.write_bytes((await client.get("/v1/pir/sessions/export", params={"status": "completed"})).content)
    (parts,) = RowReader().read(file)
    assert [part.author for part in parts] == [Author.TEMPLATE, Author.MODEL, Author.USER, Author.MODEL]

    tokenizer = desk.engine.tokenizer
    row = labelled(tokenizer, parts)
    # Encoded anew, each part on its own, the tokens are those that were sampled, the end of the turn included.
    assert row["input_ids"] == done.trajectory.token_ids
    end = tokenizer.token_to_id("<|im_end|>")
    assert row["labels"][-1] == end
    learnt = [label for label in row["labels"] if label != IGNORED]
    written = [i for s in done.trajectory.segments if s.author is Author.MODEL for i in s.token_ids]
    assert learnt == written


async def test_the_prompt_carries_no_loss_even_where_responses_do(desk: Desk, tmp_path: Path) -> None:
    from training.rows import RowReader
    from training.sft import IGNORED, labelled

    async with in_process(desk) as client:
        asked = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "4 dollars", parent=asked)
        file = tmp_path / "rows.jsonl"
        file.write_bytes((await client.get("/v1/pir/sessions/export", params={"status": "completed"})).content)
    (parts,) = RowReader().read(file)
    row = labelled(desk.engine.tokenizer, parts, mask_responses=False)
    learnt = desk.engine.tokenizer.decode([i for i in row["labels"] if i != IGNORED], skip_special_tokens=False)
    assert learnt == "".join(part.text for part in parts[1:])
