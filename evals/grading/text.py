"""Texts against a reference: chrF and sacreBLEU, exact match of short answers, and the paper's own BLEU under its own name."""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from evals.grading.math import THINK_CLOSE, stated_answer
from evals.grading.result import Grade

GRADER, SHORT = "text/1", "short-answer/1"


def bleu_collab(hypothesis: str, reference: str) -> float:
    """The BLEU of CollabLLM and of the paper's document task, 0 to 1: NLTK's sentence BLEU over characters.

    Their code hands NLTK strings where it takes lists of words, so that each character is a word; the figure is far
    above any BLEU of words and comparable with theirs only.
    """
    from nltk.translate.bleu_score import sentence_bleu

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLTK warns where a text shares no four characters
        return min(1.0, float(sentence_bleu([reference], hypothesis))) if hypothesis else 0.0


def corpus_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """sacreBLEU and chrF of a whole corpus, 0 to 100, each with its signature; `bleu_collab`; the ratio of lengths in words."""
    from sacrebleu.metrics import BLEU, CHRF

    if not hypotheses:
        return {}
    bleu, chrf = BLEU(), CHRF()
    of_words = bleu.corpus_score(hypotheses, [references])
    of_chars = chrf.corpus_score(hypotheses, [references])
    collab = [bleu_collab(mine, theirs) for mine, theirs in zip(hypotheses, references, strict=True)]
    return {
        "bleu": of_words.score,
        "bleu_signature": str(bleu.get_signature()),
        "chrf": of_chars.score,
        "chrf_signature": str(chrf.get_signature()),
        "bleu_collab": 100 * sum(collab) / len(collab),
        "length_ratio": of_words.sys_len / of_words.ref_len if of_words.ref_len else None,
        "n": len(hypotheses),
    }


def visible(final: str) -> str:
    """A reply without reasoning."""
    return final.rpartition(THINK_CLOSE)[2].strip()


def grade_text(final: str, reference: str) -> Grade:
    """Scores a text by its own chrF, 0 to 1; `correct` only where it is the reference, spaces aside."""
    from sacrebleu.metrics import CHRF

    text = visible(final)
    if not text:
        return Grade("unparsed", 0.0, GRADER)
    score = min(1.0, CHRF().sentence_score(text, [reference]).score / 100)
    detail = {"bleu_collab": round(bleu_collab(text, reference), 6)}
    return Grade("correct" if text.split() == reference.split() else "wrong", score, GRADER, text, detail)


def grade_short(final: str, accepted: Sequence[str]) -> Grade:
    """Scores a short answer: 1 where it is one of those accepted, normalised as SQuAD does. The words' F1 is in the detail."""
    stated = stated_answer(final)
    # A reply of one line is its answer.
    text = visible(final) if stated is None else stated
    words = _words(text)
    if not words or (stated is None and "\n" in text):
        return Grade("unparsed", 0.0, SHORT)
    golds = [_words(answer) for answer in accepted]
    f1 = max((_f1(words, gold) for gold in golds), default=0.0)
    right = words in golds
    return Grade("correct" if right else "wrong", float(right), SHORT, text, {"f1": round(f1, 6)})


def _words(text: str) -> list[str]:
    """As SQuAD compares: small letters, no punctuation, no articles (Rajpurkar et al. 2016)."""
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(?:a|an|the)\b", " ", plain).split()


def _f1(mine: Sequence[str], gold: Sequence[str]) -> float:
    common = sum((Counter(mine) & Counter(gold)).values())
    return 2 * common / (len(mine) + len(gold)) if common else 0.0
