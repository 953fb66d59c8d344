"""`pir`, an lm-eval model that asks: the whole conversation with the user simulator runs inside `generate_until`.

From our command line (`pir eval run`), from lm-eval's own (`lm_eval --model pir --model_args base_url=... --tasks` and the path
of a task's YAML), or from Python. A stock task's prompt is played as it is, with asking off.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CacheHook

from evals.costs import Prices
from evals.endpoint import Sampling, probe
from evals.lm_tasks import pack, row_of
from evals.player import Player, Request, Settings, conditions_of, plays_of
from evals.rows import CONDITIONS, STOCK, Row, Transcript
from evals.runs import RunError, RunWriter, digest, environment
from evals.simulators import User, simulator

_log = logging.getLogger(__name__)

RETRIES = ("all", "connection")

OnDone = Callable[[Transcript], None]


class PirLM(LM):
    """Plays rows against any OpenAI-compatible server. A conversation that fails is an error row; it stops nothing."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000/v1",
        model: str | None = None,
        *,
        server: str = "auto",
        api_key: str | None = None,
        conditions: str | Sequence[str] = CONDITIONS,
        repeats: int = 1,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        seed: int = 1234,
        gate: float | None = None,
        max_turns: int = 8,
        concurrency: int = 8,
        timeout_s: float = 300.0,
        retries: int = 3,
        uncertainty: bool = True,
        user: str = "rule",
        persona: str | Sequence[str] = "",
        user_seed: int = 0,
        user_options: Mapping[str, Any] | None = None,
        run: str | Path | None = None,
        retry_errors: bool | str = False,
        give_up_after: int = 20,
        prices: Prices | None = None,
        on_plan: Callable[[int, int], None] | None = None,
        on_done: OnDone | None = None,
        **lm_eval_own: Any,
    ) -> None:
        """Asks the server for its models, so that a wrong address is noticed before anything is run.

        Args:
            base_url: with `/v1`, as the OpenAI SDK takes it.
            model: None takes the first that the server lists.
            server: `pir` (our gateway), `prompted` (any other), or `auto`: what its list of models looks like.
            api_key: OPENAI_API_KEY if not given.
            conditions: several joined by `+`.
            repeats: times each row is played under each condition, with seeds of their own.
            gate: nats of a reasoning step above which our gateway makes the model ask.
            max_turns: asks that get a response.
            persona: levels of traits may be joined by `+`, as lm-eval splits its arguments at commas.
            user_options: of the user simulator, by name.
            run: folder that keeps the conversations and is taken up again; None keeps nothing.
            retry_errors: play kept conversations again whose server or simulator failed; `connection`: only those in which
                nobody answered.
            give_up_after: conversations in a row in which nobody answers, after which a run with a folder is stopped; 0: never.
            prices: go into the manifest, for reports.
            on_plan: called once with the number of conversations to play and of those that are kept already.
            on_done: called with each transcript as its conversation ends.
            lm_eval_own: `batch_size`, `max_batch_size` and `device`, which lm-eval gives to every model; no effect.

        Raises:
            ValueError: an argument that cannot be; the message names it.
            RunError: the server cannot be reached or lists no such model.
        """
        super().__init__()
        if unknown := lm_eval_own.keys() - {"batch_size", "max_batch_size", "device"}:
            raise ValueError(f"the model `pir` has no argument {', '.join(sorted(unknown))}")
        given = tuple(conditions.replace(",", "+").split("+")) if isinstance(conditions, str) else tuple(conditions)
        if wrong := [name for name in given if name not in CONDITIONS]:
            raise ValueError(f"no condition {', '.join(wrong)}; there are {', '.join(CONDITIONS)}")
        if retry_errors not in (*RETRIES, True, False):
            raise ValueError(f"retry_errors is one of {', '.join(RETRIES)}, not {retry_errors}")
        for name, value in (("repeats", repeats), ("max_turns", max_turns + 1), ("concurrency", concurrency)):
            if value < 1:
                raise ValueError(f"{name} is too small")
        endpoint = probe(base_url, model, server, api_key or os.environ.get("OPENAI_API_KEY") or "none")
        if gate is not None and endpoint.server != "pir":
            raise ValueError("only our gateway has an uncertainty gate")
        self.settings = Settings(
            endpoint=replace(endpoint, timeout_s=timeout_s, retries=retries),
            sampling=Sampling(temperature, top_p, max_tokens, seed, gate),
            conditions=tuple(name for name in CONDITIONS if name in given),
            repeats=repeats,
            max_turns=max_turns,
            concurrency=concurrency,
            give_up_after=give_up_after if run else None,  # without a folder there is nothing to go on from
            uncertainty=uncertainty,
        )
        self._user = {
            "name": user,
            "persona": (persona if isinstance(persona, str) else ",".join(persona)).replace("+", ","),
            **(user_options or {}),
        }
        self._user_seed = user_seed
        self.identity = self.settings.identity(simulator(**self._user, seed=user_seed).describe())
        self._run = None if run is None else Path(run)
        self._retry_errors = retry_errors
        self._prices = prices or Prices()
        self._on_plan, self._on_done = on_plan, on_done
        self.played: list[Transcript] = []
        """All conversations of this evaluation, kept ones included."""
        self.rows: list[Row] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One string for each request: packed transcripts for our tasks, the answer's text for stock ones.

        Raises:
            RunError: the run's folder cannot be used; nobody answers any more, and what was played is kept.
            KeyboardInterrupt: Ctrl-C; what was played is kept.
        """
        asked = self._requests(requests)
        plays = [plays_of(request, self.settings, self.identity) for request, _ in asked]
        self.rows = _distinct(request.row for request, _ in asked)
        versions = {request.row.task: {"version": request.task_version} for request, _ in asked}
        with self._writer(self.rows, versions) as writer:
            kept = writer.transcripts if writer else {}
            player = Player(self.settings, self._simulator, kept=self._still_good(kept), keep=self._keep(writer))
            todo = [play for of_request in plays for play in of_request]
            if self._on_plan:
                known = sum(play.key in player.transcripts for play in todo)
                self._on_plan(len(todo) - known, known)
            player.run(todo)
            self.played = [player.transcripts[play.key] for play in todo if play.key in player.transcripts]
        if player.outage:
            raise RunError(self._outage(player.outage, len(todo)))
        if player.was_stopped:
            raise KeyboardInterrupt
        results = []
        for (_, until), of_request in zip(asked, plays, strict=True):
            transcripts = [player.transcripts[play.key] for play in of_request]
            results.append(pack(transcripts) if until is None else _cut(transcripts[0].final, until))
        return results

    def _requests(self, requests: Iterable[Instance]) -> list[tuple[Request, list[str] | None]]:
        """Our requests, each with None, or for a stock task's prompt the strings to cut its answer at.

        lm-eval repeats a request by naming one Instance several times.
        """
        copies: Counter[tuple[str, str]] = Counter()
        found: list[tuple[Request, list[str] | None]] = []
        for instance in requests:
            prompt, options = instance.args
            sampling = _overridden(self.settings.sampling, options)
            until: list[str] | None = None
            if "row" in instance.doc:
                row, task_version = row_of(instance.doc), str(instance.doc["task_version"])
                if prompt != row.shown:
                    raise RunError(
                        f"{row.task}: its rows are played as they are; leave out few-shot examples, system instructions "
                        "and prefixes"
                    )
                conditions = conditions_of(row, self.settings.conditions)
            else:
                row, task_version, conditions = _stock_row(str(instance.task_name), prompt), "", ("no_ask",)
                wanted = options.get("until") or []
                until = [wanted] if isinstance(wanted, str) else list(wanted)
            name = (row.task, row.row_id)
            found.append((Request(row, task_version, conditions, sampling, copies[name]), until))
            copies[name] += 1
        return found

    def _writer(
        self, rows: Sequence[Row], tasks: Mapping[str, Mapping[str, Any]]
    ) -> AbstractContextManager[RunWriter | None]:
        if self._run is None:
            return nullcontext()
        return RunWriter(self._run, self.identity, self.get_model_info() | environment() | {"tasks": dict(tasks)}, rows)

    def _keep(self, writer: RunWriter | None) -> OnDone:
        def keep(transcript: Transcript) -> None:
            if writer:
                writer.add(transcript)
            if self._on_done:
                self._on_done(transcript)

        return keep

    def _still_good(self, kept: Mapping[str, Transcript]) -> dict[str, Transcript]:
        failed = ("server", "simulator", "harness")
        if not self._retry_errors:
            return dict(kept)
        all_of_them = self._retry_errors != "connection"
        return {k: t for k, t in kept.items() if t.culprit not in failed or not (all_of_them or t.was_unreachable)}

    def _outage(self, last: Transcript, planned: int) -> str:
        where = self.get_model_info()["base_url"] if last.culprit == "server" else "the address of the user simulator"
        in_a_row = f"{self.settings.give_up_after} conversations in a row"
        left = f"{planned - len(self.played)} of {planned} conversations are left"
        return (
            f"nobody answers at {where} any more ({in_a_row}: {last.error}). Start it and run the same command: {left}"
        )

    def _simulator(self, repeat: int) -> User:
        return simulator(**self._user, seed=self._user_seed + repeat)

    def get_model_info(self) -> dict[str, Any]:
        """Goes into lm-eval's results under `config`, and into the run's manifest."""
        endpoint = self.settings.endpoint
        return {
            "base_url": re.sub(r"(?<=//)[^/@]+@", "", endpoint.base_url),
            "server_model": dict(endpoint.listed),
            "conditions": list(self.settings.conditions),
            "repeats": self.settings.repeats,
            "pir": self.identity,
            **({"prices": self._prices.to_json()} if self._prices else {}),
        }

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The one user message; the server has the chat template."""
        if [message["role"] for message in chat_history] != ["user"]:
            raise RunError(
                "the model `pir` takes one user message; leave out few-shot examples and system instructions"
            )
        return chat_history[0]["content"]

    @property
    def tokenizer_name(self) -> str:
        return self.settings.endpoint.model

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Refuses `--use_cache`: its keys know neither the model nor the user, so that it gives one's answers to another.

        Raises:
            RunError: always, if there is a cache.
        """
        if cache_hook.dbdict is not None:
            raise RunError(
                "the model `pir` cannot be used with --use_cache, which mixes up models and users; "
                "name a folder to take up again instead: --model_args run=out/runs/NAME,..."
            )
        super().set_cache_hook(cache_hook)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise RunError(
            "the model `pir` converses; tasks that score given answers by their likelihood need another model"
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise RunError("the model `pir` converses; perplexity needs another model")


def _distinct(rows: Iterable[Row]) -> list[Row]:
    known: dict[tuple[str, str], Row] = {}
    for row in rows:
        if known.setdefault((row.task, row.row_id), row) != row:
            raise RunError(f"{row.task} has two different rows {row.row_id}; a row's id must be its own")
    return list(known.values())


def _overridden(sampling: Sampling, options: Mapping[str, Any]) -> Sampling:
    """`sampling` with what a task's generation_kwargs or --gen_kwargs say."""
    names = {"temperature": "temperature", "top_p": "top_p", "max_gen_toks": "max_tokens", "max_tokens": "max_tokens"}
    return replace(sampling, **{ours: options[name] for name, ours in names.items() if options.get(name) is not None})


def _stock_row(task: str, prompt: str) -> Row:
    return Row(digest(prompt), digest(prompt), task, prompt, prompt, (), "", source=STOCK)


def _cut(text: str, until: Sequence[str]) -> str:
    places = [text.find(mark) for mark in until if mark and mark in text]
    return text[: min(places)] if places else text
