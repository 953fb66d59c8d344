"""What a run shows: figures over rows, transcripts and grades.

Pure functions. Whatever was played stays in the denominator: an error, a cut-off or an unreadable answer counts as wrong.
Only what a judge failed on is left out, because nobody knows; it is counted beside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from evals.grading.result import Grade
from evals.rows import CONDITIONS, Condition, Row, Transcript
from evals.stats import (
    Estimate,
    clustered_mean,
    paired_bootstrap,
    pass_hat_k,
    ratio_bootstrap,
)

if TYPE_CHECKING:
    from evals.grading.judge import Judgement


@dataclass(frozen=True, slots=True)
class Scored:
    """One row, played once and graded."""

    row: Row
    transcript: Transcript
    grade: Grade
    asks: tuple[Judgement, ...] = ()
    """A judge's findings on each ask, where one was named."""

    @property
    def judge_tokens(self) -> int:
        graded = self.transcript.judge_tokens + int(self.grade.detail.get("judge_tokens", 0))
        return graded + sum(ask.spent.tokens for ask in self.asks)

    @property
    def condition(self) -> Condition:
        return self.transcript.condition

    @property
    def score(self) -> float | None:
        """0 to 1; an error is 0 whatever was said before it; None: unjudged."""
        return 0.0 if self.transcript.stop == "error" else self.grade.score

    @property
    def disclosed(self) -> frozenset[str]:
        """Ids of the hidden facts that the user was made to tell."""
        told = {fact for turn in self.transcript.turns for fact in turn.disclosed}
        return frozenset(fact.id for fact in self.row.hidden if fact.id in told)

    @property
    def over_asked(self) -> bool:
        return self.condition == "interactive" and self.row.is_complete and self.transcript.num_asks > 0

    @property
    def under_asked(self) -> bool:
        return self.condition == "interactive" and not self.row.is_complete and self.transcript.num_asks == 0


def sample_figures(scored: Scored) -> dict[str, float]:
    """The figures of one transcript whose means a report gives; a figure that does not apply is absent.

    Figures of every condition end in its name (`accuracy/no_ask`); those of asking are of `interactive` only. Tokens are
    those the policy wrote; the user simulator's and the judge's are apart. Times are seconds.
    """
    transcript, condition = scored.transcript, scored.condition
    figures = {
        f"tokens_policy/{condition}": float(transcript.model_tokens),
        f"tokens_prompt/{condition}": float(transcript.prompt_tokens),
        f"tokens_judge/{condition}": float(scored.judge_tokens),
        f"seconds/{condition}": transcript.seconds,
        f"truncated/{condition}": float(transcript.stop == "length"),
        f"format_errors/{condition}": float(bool(transcript.format_errors)),
        f"errors/{condition}": float(transcript.stop == "error"),
        f"unparsed/{condition}": float(scored.grade.verdict == "unparsed"),
        f"grader_timeouts/{condition}": float(scored.grade.verdict == "timeout"),
        f"unjudged/{condition}": float(scored.score is None),
    }
    if scored.score is not None:
        figures[f"accuracy/{condition}"] = scored.score
        figures[f"accuracy_{'complete' if scored.row.is_complete else 'incomplete'}/{condition}"] = scored.score
    return figures | _asking(scored) if condition == "interactive" else figures


def _asking(scored: Scored) -> dict[str, float]:
    row, transcript = scored.row, scored.transcript
    asks = transcript.num_asks
    figures = {
        "turns": float(asks),
        "turns_over_cap": float(transcript.stop == "turns"),
        "tokens_simulator": float(sum(turn.simulator_tokens for turn in transcript.turns)),
        "seconds_simulator": sum(turn.simulator_s for turn in transcript.turns),
    }
    if asks:
        figures["turns_when_asked"] = float(asks)
    if row.is_complete:
        return figures | {"over_ask": float(asks > 0)}
    figures["under_ask"] = float(not asks)
    figures["fact_coverage"] = len(scored.disclosed) / len(row.hidden)
    if asks:
        hidden = {fact.id for fact in row.hidden}
        figures["first_question_precision"] = float(bool(hidden & set(transcript.turns[0].disclosed)))
    return figures


_COUNTS = ("turns", "turns_when_asked", "tokens", "seconds")


def is_share(name: str) -> bool:
    """Whether a figure lies between 0 and 1 (a difference of two of them: between -1 and 1)."""
    figure = name.partition("/")[0]
    return figure == "turns_over_cap" or not figure.startswith(_COUNTS)


def figures(run: Iterable[Scored], *, seed: int = 0) -> dict[str, Estimate]:
    """Every figure of a run with its 95 % interval, clustered by `pair_id`; one that does not apply is absent."""
    scored = list(run)
    values: dict[str, list[float]] = defaultdict(list)
    clusters: dict[str, list[str]] = defaultdict(list)
    for one in scored:
        for name, value in sample_figures(one).items():
            values[name].append(value)
            clusters[name].append(cluster(one))
    means = {name: clustered_mean(values[name], clusters[name], share=is_share(name)) for name in values}
    return {
        **_headline(scored, seed),
        **means,
        **_detection(scored, seed),
        **_helpfulness(scored),
        **_reliability(scored),
    }


def breakdown(run: Iterable[Scored], by: Callable[[Scored], str], *, seed: int = 0) -> dict[str, dict[str, Estimate]]:
    """`figures` of each part, e.g. `by=lambda s: s.row.group`; parts in the order of their names."""
    parts: dict[str, list[Scored]] = defaultdict(list)
    for one in run:
        parts[by(one)].append(one)
    return {name: figures(parts[name], seed=seed) for name in sorted(parts)}


def cluster(scored: Scored) -> str:
    """What belongs together in a run: a problem, in its versions and repeats."""
    return f"{scored.row.task}/{scored.row.pair_id}"


def _headline(scored: Sequence[Scored], seed: int) -> dict[str, Estimate]:
    """Against the floor and the ceiling, on incomplete rows that were judged under each of the conditions compared.

    Recovered gap: (interactive - no_ask) / (full - no_ask); 0 is what never asking gives, 1 what knowing all gives.
    """
    by_row = _scores_by_row(s for s in scored if not s.row.is_complete)
    found: dict[str, Estimate] = {}
    pairs, clusters = _common(by_row, "interactive", "no_ask")
    if pairs:
        asked, floor = ([row[place] for row in pairs] for place in range(2))
        found["gain_over_no_ask"] = paired_bootstrap(floor, asked, clusters, seed=seed).estimate
    triples, clusters = _common(by_row, "interactive", "no_ask", "full")
    if triples:
        gained, gap = [a - b for a, b, _ in triples], [c - b for _, b, c in triples]
        found = {"recovered_gap": ratio_bootstrap(gained, gap, clusters, seed=seed), **found}
    return found


_ByRow = Mapping[tuple[str, str], Mapping[Condition, float]]


def _scores_by_row(scored: Iterable[Scored]) -> _ByRow:
    """Mean score over repeats, by (cluster, row) and condition."""
    scores: dict[tuple[str, str], dict[Condition, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        if one.score is not None:
            scores[cluster(one), one.row.row_id][one.condition].append(one.score)
    return {row: {condition: fmean(got) for condition, got in by.items()} for row, by in scores.items()}


def _common(by_row: _ByRow, *conditions: Condition) -> tuple[list[tuple[float, ...]], list[str]]:
    """The scores under these conditions of the rows that have them all, and the rows' clusters."""
    rows = [(cluster, by) for (cluster, _), by in by_row.items() if all(c in by for c in conditions)]
    return [tuple(by[c] for c in conditions) for _, by in rows], [cluster for cluster, _ in rows]


def _detection(scored: Sequence[Scored], seed: int) -> dict[str, Estimate]:
    """Asking as the detection of a missing premise, on problems that were played both complete and incomplete.

    Pairs make the two kinds equally frequent, so that precision does not hang on how many rows of each a task has.
    """
    flags: dict[str, dict[bool, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        if one.condition == "interactive":
            flags[cluster(one)][one.row.is_complete].append(float(one.transcript.num_asks > 0))
    pairs = [(cluster, fmean(by[False]), fmean(by[True])) for cluster, by in flags.items() if len(by) == 2]
    if not pairs:
        return {}
    clusters, asked, needless = ([pair[place] for pair in pairs] for place in range(3))
    hits, false = [float(x) for x in asked], [float(x) for x in needless]
    all_asked = [a + b for a, b in zip(hits, false, strict=True)]
    balanced = [(a + 1 - b) / 2 for a, b in zip(hits, false, strict=True)]
    # F1 = 2 hits / (asked + positives); per pair there is one positive.
    return {
        "ask_precision": ratio_bootstrap(hits, all_asked, clusters, seed=seed),
        "ask_recall": clustered_mean(hits, clusters, share=True),
        "ask_f1": ratio_bootstrap([2 * x for x in hits], [x + 1 for x in all_asked], clusters, seed=seed),
        "ask_balanced_accuracy": clustered_mean(balanced, clusters, share=True),
    }


def _helpfulness(scored: Sequence[Scored]) -> dict[str, Estimate]:
    """What a judge finds of the asks, each ask counting once; absent where no judge was named.

    `helpfulness` is the mean of the items. An unjudged ask is in none of them, and counted beside.
    """
    asks = [(ask.items, cluster(one)) for one in scored for ask in one.asks]
    judged = [(items, of) for items, of in asks if items]
    clusters = [of for _, of in judged]
    found = {}
    if judged:
        values = [fmean(items.values()) for items, _ in judged]
        found["helpfulness"] = clustered_mean(values, clusters, share=True)
        for name in judged[0][0]:
            found[f"ask_{name}"] = clustered_mean([float(items[name]) for items, _ in judged], clusters, share=True)
    if asks:
        unjudged = [float(not items) for items, _ in asks]
        found["asks_unjudged"] = clustered_mean(unjudged, [of for _, of in asks], share=True)
    return found


def _reliability(scored: Sequence[Scored]) -> dict[str, Estimate]:
    """pass^k for each k up to the least number of repeats; absent where rows were played once."""
    trials: dict[Condition, dict[tuple[str, str], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for one in scored:
        if one.score is not None:
            trials[one.condition][cluster(one), one.row.row_id].append(one.score == 1)
    found: dict[str, Estimate] = {}
    for condition in CONDITIONS:
        rows = trials[condition]
        for k in range(2, 1 + min(map(len, rows.values()), default=0)):
            chances = [pass_hat_k(sum(passed), len(passed), k) for passed in rows.values()]
            found[f"pass^{k}/{condition}"] = clustered_mean(chances, [cluster for cluster, _ in rows], share=True)
    return found


def num_left_out(run: Iterable[Scored]) -> int:
    """Incomplete rows that lack a judged transcript under a condition that others have: not in the recovered gap."""
    scored = [one for one in run if not one.row.is_complete]
    conditions = {one.condition for one in scored}
    by_row = _scores_by_row(scored)
    return sum(by_row.get(key, {}).keys() != conditions for key in {(cluster(one), one.row.row_id) for one in scored})
