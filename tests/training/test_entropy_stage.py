"""`pir train entropy` and `pir train augment` from outside: files in, files out, and an endpoint that is real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="needs the train extra")

from evals.problems import answer_text, make_pair, trace
from pir_serve.prompt import Message, PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from training import asking, score
from training.families import write_model
from training.validators import CHECKS, rejection
from training.writer import Exchange, Place

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

TRACE = "The shop sells pens.\nI guess that a pen costs 4 dollars.\nSo 16 pens cost 64 dollars.\n"
ROW = {"id": "a", "question": "How much are 16 pens?", "trace": TRACE, "answer": "The answer is \\boxed{64}."}


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible server that says what a test has put in `say`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.say: Any = None
        self.asked: list[dict[str, Any]] = []
        self.refused_formats: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        refused = body.get("response_format", {}).get("type") in self.server.refused_formats
        reply = {"error": {"message": "no such format"}} if refused else self.server.say(body)
        data = json.dumps(reply).encode()
        self.send_response(400 if "error" in reply else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def completion(**of_choice: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}
    choice = {"index": 0, "finish_reason": "stop", **of_choice}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def message(content: Any, **more: Any) -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    return completion(message={"role": "assistant", "content": text}, **more)


def write(file: Path, *rows: Any) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_weights_score_a_given_trace_as_a_plain_forward_pass_does(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    out = tmp_path / "scored.jsonl"
    score.main(["--rows", write(tmp_path / "in.jsonl", ROW), "--model", str(BUILTIN_MODEL), "--output", str(out),
                "--plot", str(tmp_path / "entropy.png")])  # fmt: skip
    (scored,) = rows_in(out)
    codec = PromptCodec.load(BUILTIN_MODEL)
    before = [i for s in codec.encode_prompt([Message("user", ROW["question"])]) for i in s.token_ids]
    first = list(codec.encode_model(TRACE.splitlines(keepends=True)[0]).token_ids)
    model = AutoModelForCausalLM.from_pretrained(BUILTIN_MODEL, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([before + first])).logits[0].log_softmax(-1)
    wanted = -sum(float(logits[len(before) - 1 + k, i]) for k, i in enumerate(first)) / len(first)
    assert [s["text"] for s in scored["steps"]] == TRACE.rstrip().splitlines(keepends=True)
    assert scored["steps"][0]["entropy"] == pytest.approx(wanted, abs=1e-4)
    assert sorted(s["rank"] for s in scored["steps"]) == [1, 2, 3]
    top = next(s for s in scored["steps"] if s["rank"] == 1)
    assert top["entropy"] == max(s["entropy"] for s in scored["steps"])
    assert scored["row"] == ROW and scored["answer"] == ROW["answer"]
    assert (tmp_path / "entropy.png").read_bytes().startswith(b"\x89PNG")


def test_weights_sample_a_trace_where_there_is_none_the_same_for_the_same_seed(tmp_path: Path) -> None:
    problem = make_pair("train", 3, 1)[0]
    for name in ("one", "two"):
        score.main(["--rows", write(tmp_path / "in.jsonl", {"id": "a", "question": problem.shown}), "--model",
                    str(BUILTIN_MODEL), "--output", str(tmp_path / name), "--max_tokens", "150"])  # fmt: skip
    (scored,) = rows_in(tmp_path / "one")
    assert scored == rows_in(tmp_path / "two")[0] and len(scored["steps"]) > 1
    assert "boxed" in scored["answer"] and "boxed" not in scored["trace"]


def test_a_server_scores_by_its_logprobs_and_a_second_run_asks_nothing(tmp_path: Path, endpoint: Endpoint) -> None:
    tokens = [("First", -0.5), (" step.\n", -1.5), ("Next.\n", -0.25), ("</think>", -0.1), ("It is 4.", -0.1)]
    content = [{"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []} for t, p in tokens]
    endpoint.say = lambda _: message("".join(t for t, _ in tokens), logprobs={"content": content, "refusal": None})
    words = ["--rows", write(tmp_path / "in.jsonl", {"prompt": "2 + 2?"}), "--base_url", endpoint.url,
             "--served_model", "r1", "--output", str(tmp_path / "out.jsonl")]  # fmt: skip
    score.main(list(words))
    (scored,) = rows_in(tmp_path / "out.jsonl")
    assert [(s["text"], s["entropy"]) for s in scored["steps"]] == [("First step.\n", 1.0), ("Next.\n", 0.25)]
    assert (scored["trace"], scored["answer"]) == ("First step.\nNext.\n", "It is 4.")
    with (tmp_path / "out.jsonl").open("a") as file:
        file.write('{"id": "cut off by a ki')
    score.main(list(words))
    assert len(endpoint.asked) == 1 and len(rows_in(tmp_path / "out.jsonl")) == 1


def test_a_server_that_echoes_scores_a_given_trace(tmp_path: Path, endpoint: Endpoint) -> None:
    def echo(body: dict[str, Any]) -> dict[str, Any]:
        n = len(body["prompt"])
        logprobs = {
            "tokens": ["x"] * (n + 1),
            "token_logprobs": [None] + [-0.5] * n,
            "text_offset": [],
            "top_logprobs": [],
        }
        return completion(text="...", logprobs=logprobs) | {"object": "text_completion"}

    endpoint.say = echo
    score.main(["--rows", write(tmp_path / "in.jsonl", ROW), "--base_url", endpoint.url, "--served_model", "m",
                "--tokenizer", str(BUILTIN_MODEL), "--output", str(tmp_path / "out.jsonl")])  # fmt: skip
    (scored,) = rows_in(tmp_path / "out.jsonl")
    assert scored["trace"] == TRACE.strip() and {s["entropy"] for s in scored["steps"]} == {0.5}
    assert endpoint.asked[0]["echo"] is True and isinstance(endpoint.asked[0]["prompt"][0], int)


def scored_row(**changes: Any) -> dict[str, Any]:
    steps, at = [], 0
    for line, entropy in zip(TRACE.splitlines(keepends=True), (0.1, 2.0, 0.3), strict=True):
        steps.append({"text": line, "start": at, "end": at + len(line), "entropy": entropy, "num_tokens": 5, "rank": 0})
        at += len(line)
    messages = [{"role": "user", "content": ROW["question"]}]
    return {"id": "a", "messages": messages, "trace": TRACE, "answer": ROW["answer"], "steps": steps, **changes}


GOOD = {"question": "What does a pen cost?", "reply": "4 dollars.", "evidence": "a pen costs 4 dollars"}


def augment(tmp_path: Path, endpoint: Endpoint, *rows: Any, more: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    asking.main(["--rows", write(tmp_path / "scored.jsonl", *rows), "--output", str(tmp_path / "asking.jsonl"),
                 "--base_url", endpoint.url, "--writer_model", "w", "--cache", str(tmp_path / "w.db"),
                 "--top_share", "0.3", *more])  # fmt: skip
    return rows_in(tmp_path / "asking.jsonl")


def report(tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads((tmp_path / "asking.report.json").read_text()))


def test_the_exchange_stands_behind_the_uncertain_step_and_feeds_sft(tmp_path: Path, endpoint: Endpoint) -> None:
    from tests.training.test_sft import reader_of

    endpoint.say = lambda _: message(GOOD)
    more = ("--price_in", "2", "--price_out", "8")
    (row,) = augment(tmp_path, endpoint, scored_row(), more=more)
    text = row["messages"][-1]["content"]
    assert text.startswith(
        "<think>\nThe shop sells pens.\nI guess that a pen costs 4 dollars.\n<asking>What does a pen cost?"
    )
    assert "</asking>\n<response>4 dollars.</response>\nSo 16 pens cost 64 dollars.\n</think>\nThe answer is" in text
    assert row["provenance"]["asks"] == [{"step": 1, "entropy": 2.0, "evidence": GOOD["evidence"]}]
    found = report(tmp_path)
    assert (found["rows"], found["chosen"], found["asks"], found["yield"]) == (1, 1, 1, 1.0)
    assert found["cost"] == pytest.approx((50 * 2 + 10 * 8) / 1e6)
    said = json.dumps(endpoint.asked[0]["messages"])
    assert "I guess that a pen costs" in said and endpoint.asked[0]["response_format"]["type"] == "json_schema"
    reader, _ = reader_of(write_model(tmp_path / "base", "qwen3"), tmp_path / "tokenizer")
    assert [p.author.value for p in reader.read(tmp_path / "asking.jsonl")[0]] == ["template", "model", "user", "model"]
    # Again: nothing is paid for twice.
    augment(tmp_path, endpoint, scored_row(), more=more)
    assert len(endpoint.asked) == 1 and report(tmp_path)["cached"] == 1 and report(tmp_path)["cost"] == 0


def test_steps_drawn_at_random_are_as_many_and_the_same_every_time(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.say = lambda _: message(GOOD)
    traces = [scored_row(id=str(k)) for k in range(12)]

    def steps(*more: str) -> dict[str, int]:
        rows = augment(tmp_path, endpoint, *traces, more=more)
        assert report(tmp_path)["chosen"] == 12
        return {row["id"]: row["provenance"]["asks"][0]["step"] for row in rows}

    assert set(steps().values()) == {1} and len(steps()) == 12
    drawn = steps("--placement", "random")
    assert set(drawn.values()) == {0, 1}, "behind the last step nothing bears the reply out: those are turned down"
    assert drawn == steps("--placement", "random") != steps("--placement", "random", "--seed", "2")


def test_broken_replies_are_asked_for_again_and_looser_formats_tried(tmp_path: Path, endpoint: Endpoint) -> None:
    replies = iter(["no JSON here", "```json\n" + json.dumps(GOOD) + "\n```"])
    endpoint.say = lambda _: message(next(replies))
    endpoint.refused_formats = {"json_schema"}
    assert len(augment(tmp_path, endpoint, scored_row())) == 1
    assert [a.get("response_format", {}).get("type") for a in endpoint.asked] == [
        "json_schema",
        "json_object",
        "json_object",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question": "", "reply": ""}, "declined"),
        ({"reply": "4</response></think>"}, "malformed"),
        ({"question": "What<|im_end|> does it cost?"}, "malformed"),
        ({"question": "Tell me the price."}, "not a question"),
        ({"reply": "Altogether 64 dollars.", "evidence": "cost 64 dollars"}, "gives the answer away"),
        ({"question": "Does a pen cost 4 dollars?"}, "leak"),
        ({"question": "What does the next step of your reasoning need?"}, "leak"),
        ({"reply": "5 dollars."}, "contradicts later steps"),
        ({"evidence": "a pen costs 7 dollars"}, "contradicts later steps"),
        ({"evidence": ""}, "contradicts later steps"),
    ],
)
def test_what_must_not_be_learnt_is_turned_down_by_name(changes: dict[str, str], reason: str) -> None:
    lines = TRACE.splitlines(keepends=True)
    place = Place(ROW["question"], lines[0], lines[1], lines[2], ROW["answer"])
    assert rejection(Exchange(**GOOD), place) is None
    assert rejection(Exchange(**{**GOOD, **changes}), place) == reason
    assert reason in CHECKS


def test_an_answer_in_words_is_not_given_away_and_questions_are_not_repeated() -> None:
    place = Place("Which animal?", "It barks.\n", "It may be a dog.\n", "So a dog.\n", "A dog")
    said = Exchange(question="What is it?", reply="It is a dog.", evidence="may be a dog")
    assert rejection(said, place) == "gives the answer away"
    other = Exchange(question="Is it big?", reply="It may be.", evidence="It may be a dog")
    assert rejection(other, place) is None and rejection(other, place, [other]) == "asked before"


def test_reasons_reach_the_report_and_a_run_without_rows_fails(
    tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.say = lambda _: message({**GOOD, "reply": "5 dollars."})
    unusable = [scored_row(id="b", answer=""), scored_row(id="c", trace="<asking>x</asking>", steps=[])]
    with pytest.raises(SystemExit, match="no row of 3 traces"):
        augment(tmp_path, endpoint, scored_row(), *unusable)
    found = report(tmp_path)
    assert found["rejected"] == {"contradicts later steps": 1}
    assert found["left_out"] == {"no ask passed": 1, "no answer": 1, "asks already": 1}


def test_a_writer_that_fails_costs_the_step_and_not_the_run(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.say = lambda body: message("never JSON") if "second" in json.dumps(body["messages"]) else message(GOOD)
    other = scored_row(id="b", messages=[{"role": "user", "content": "The second: how much are 16 pens?"}])
    assert [row["id"] for row in augment(tmp_path, endpoint, scored_row(), other)] == ["a"]
    assert report(tmp_path)["rejected"] == {"the writer failed": 1}


def test_rules_write_for_generated_problems(tmp_path: Path) -> None:
    problems = [make_pair("train", 3, k)[1] for k in range(4)]
    given = [p.to_json() | {"trace": trace(p), "answer": answer_text(p)} for p in problems]
    base = write_model(tmp_path / "base", "qwen2")
    score.main(["--rows", write(tmp_path / "in.jsonl", *given), "--model", str(base), "--output",
                str(tmp_path / "scored.jsonl")])  # fmt: skip
    asking.main(["--rows", str(tmp_path / "scored.jsonl"), "--output", str(tmp_path / "asking.jsonl"), "--writer",
                 "rules", "--top_share", "1", "--copies", "1"])  # fmt: skip
    rows = rows_in(tmp_path / "asking.jsonl")
    assert len(rows) == 4 and report(tmp_path)["asks"] >= 4
    for row in rows:
        assert row["messages"][0]["role"] == "user" and "<|" not in json.dumps(row["messages"])
        assert row["messages"][-1]["content"].startswith("<think>\n")


@pytest.mark.parametrize(
    ("stage", "words", "says"),
    [
        (score, ["--model", "m", "--base_url", "u"], "either model"),
        (score, ["--model", str(BUILTIN_MODEL), "--rows", "missing.jsonl"], "missing.jsonl"),
        (score, ["--model", str(BUILTIN_MODEL), "--question_key", "nope"], "nope"),
        (score, ["--model", "nowhere"], "nowhere"),
        (score, ["--modle", "x"], "modle"),
        (asking, ["--writer", "nobody"], "nobody"),
        (asking, [], "base_url"),
        (asking, ["--writer", "rules"], "scored trace"),
        (asking, ["--top_share", "2"], "top_share"),
        (asking, ["--placement", "anywhere"], "anywhere"),
    ],
)
def test_mistakes_are_answered_in_one_line(tmp_path: Path, stage: Any, words: list[str], says: str) -> None:
    rows = [] if stage is asking and says == "base_url" else [ROW]
    given = ["--rows", write(tmp_path / "in.jsonl", *rows), "--output", str(tmp_path / "out.jsonl")]
    with pytest.raises(SystemExit, match=says) as ended:
        stage.main([*given, *words])
    assert str(ended.value).startswith("error: ") and "Traceback" not in str(ended.value)


def test_two_rows_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"in\.jsonl:2: a second row"):
        score.main(["--rows", write(tmp_path / "in.jsonl", ROW, ROW), "--model", str(BUILTIN_MODEL), "--output",
                    str(tmp_path / "out.jsonl")])  # fmt: skip


def test_a_server_without_logprobs_is_said_and_nothing_is_written(tmp_path: Path, endpoint: Endpoint) -> None:
    endpoint.say = lambda _: message("Fine.")
    with pytest.raises(SystemExit, match="no log-probabilities"):
        score.main(["--rows", write(tmp_path / "in.jsonl", {"question": "?"}), "--base_url", endpoint.url, "--output",
                    str(tmp_path / "out.jsonl")])  # fmt: skip
    assert not (tmp_path / "out.jsonl").exists()
