"""Small files in the shape of the public data sets, written for these tests; nothing in them is from there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FULL = "Nora bakes 4 trays of rolls. Each tray holds 18 rolls. How many rolls does she bake?"
SHOWN = "Nora bakes 4 trays of rolls. How many rolls does she bake?"
ARTICLE = "The lighthouse of Orrin was built in 1821. Its keeper was Ida Brandt. It is painted green."

CODE = '''from math import floor


def helper(x):
    return floor(x)


def middle(values: list) -> float:
    """ Find the middle value of a list. It is the mean of two values if the length is even.
    Return -1 if the list is empty.
    >>> middle([1, 2, 3])
    2
    """
'''


def chat(full: str, completion: str, **metadata: str) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": "I need some help with this."}],
        "single_turn_prompt": full,
        "single_turn_completion": completion,
        "single_turn_metadata": metadata or {"level": "5"},
        "conv_id": 1,
    }


CHATS = [
    chat(f"A box holds {n} pens. It costs $3. What do 2 boxes hold?", f"They hold \\boxed{{{2 * n}}}.")
    for n in range(3, 33)
]

RECORDS: dict[str, list[dict[str, Any]]] = {
    "pir_mip_gsm8k": [
        {"question": FULL, "answer": "4*18 = 72\n#### 1,072", "insufficient_question": SHOWN},
        {"question": FULL, "answer": "#### 72", "insufficient_question": FULL},
    ],
    "pir_mip_math": [
        {
            "question": FULL,
            "answer": "72",
            "insufficient_question": SHOWN,
            "subject": "Algebra",
            "some-model (insufficient_question)": "It is 99.",
        }
    ],
    "pir_questbench_gsmq": [
        {"ori_question": SHOWN, "expected_answer": "72", "degraded_info": "R = 18 [Rolls on each tray]"},
        {"ori_question": SHOWN, "expected_answer": "72", "degraded_info": "A = 72 [All rolls]"},
    ],
    "pir_askmind": [
        {
            "ori_question": FULL
            + '\nFormat your response as follows: "The correct answer is boxed{insert answer here}".',
            "degraded_question": FULL.replace("18 rolls", "several rolls") + " Format your response as follows: x",
            "expected_answer": "72",
            "required_points": ["Capacity of a tray"],
        },
        {"ori_question": FULL, "degraded_question": FULL, "expected_answer": "72", "required_points": []},
    ],
    "pir_in3": [
        {
            "category": "Food",
            "task": "Find a recipe.",
            "vague": True,
            "missing_details": [
                {
                    "description": "Kind of dish",
                    "importance": "3",
                    "inquiry": "What would you like to eat?",
                    "options": ["Soup", "Cake"],
                },
                {"description": "Diet", "importance": "2", "inquiry": "Is there a diet to keep?", "options": []},
            ],
        },
        {"category": "Food", "task": "Convert 3 cups to litres.", "vague": False, "missing_details": []},
    ],
    "pir_math_chat": [*CHATS, *CHATS[::-1], chat("Prove it.", "As is well known.")],
    "pir_bigcodebench_chat": [
        chat(f"Write f. It returns {n}.", "def f(): ...", entry_point="f", test=f"assert f() == {n}") for n in range(20)
    ],
    "pir_docedit_chat": [chat(f"Write this. The sea is {n} m deep.", f"The sea is {n} m deep.") for n in range(20)],
    "pir_mmlu": [
        {"question": "Which is a fruit?", "choices": ["Iron", "Pear", "Salt", "Glass"], "answer": 1, "subject": "food"}
    ],
    "pir_mmlu_pro": [
        {
            "question_id": 7,
            "question": "Which is a metal?",
            "options": ["Iron", "Pear", "Salt", "Glass", "Wood"],
            "answer": "A",
            "category": "chemistry",
        }
    ],
    "pir_triviaqa": [
        {
            "question": "Who kept the lighthouse of Orrin?",
            "entity_pages": {"wiki_context": ["", ARTICLE]},
            "answer": {"value": "Ida Brandt", "aliases": ["Brandt", "Ida Brandt"]},
        },
        {"question": "Who?", "entity_pages": {"wiki_context": []}, "answer": {"value": "X", "aliases": []}},
    ],
    "pir_squad": [
        {
            "title": "Orrin",
            "context": ARTICLE,
            "question": "When was the lighthouse built?",
            "answers": {"text": ["1821", "1821", "in 1821"], "answer_start": [39, 39, 36]},
        }
    ],
    "pir_gsm8k_full": [{"question": FULL, "answer": "#### 72"}],
    "pir_humaneval_under": [
        {
            "prompt": CODE,
            "entry_point": "middle",
            "canonical_solution": "    return 2\n",
            "test": "def check(candidate):\n    assert candidate([]) == -1\n",
        },
        {
            "prompt": 'def f():\n    """ One. Assume the input is valid. """\n',
            "entry_point": "f",
            "canonical_solution": "",
            "test": "",
        },
        {"prompt": "def g():\n    import math\n", "entry_point": "g", "canonical_solution": "", "test": ""},
    ],
}


def write(folder: Path, task: str, kind: str = "jsonl") -> Path:
    """The task's records as a file."""
    path, records = folder / f"{task}.{kind}", RECORDS[task]
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(records), path)
    elif kind == "json":
        path.write_text(json.dumps(records))
    else:
        lines = "".join(json.dumps(record) + "\n" for record in records)
        path.write_bytes(gzip.compress(lines.encode()) if kind.endswith(".gz") else lines.encode())
    return path
