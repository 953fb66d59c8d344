"""What runs in the sandbox, in two processes: the tests, and the solution. Handed to `python -c` as source; imported by nobody.

The tester reads one JSON object from stdin and writes lines that begin with its token to the descriptor in argv[2]: `ready`,
then `pass` or `fail` with a reason. The solution's process has neither the token, nor the tests, nor that descriptor, and
may not look into the tester. Values that cross between the two are plain data, made anew: an object that calls itself equal
to everything does not get through.
"""

from __future__ import annotations

import builtins
import ctypes
import io
import json
import os
import resource
import subprocess
import sys
import unittest
from collections.abc import Callable
from typing import Any

MAX_LINE_BYTES = 4_000_000
PR_SET_DUMPABLE = 4


def to_wire(value: Any) -> Any:
    """JSON that tells tuples from lists and sets from both. Raises: TypeError for what is no plain data."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return {"int": str(int(value))}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    for name, kind in (("list", list), ("tuple", tuple), ("set", set), ("set", frozenset)):
        if isinstance(value, kind):
            return {name: [to_wire(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[to_wire(key), to_wire(part)] for key, part in value.items()]}
    raise TypeError(f"a {type(value).__name__} is no plain data")


def from_wire(data: Any) -> Any:
    """The value that `to_wire` made this of."""
    if not isinstance(data, dict):
        return data
    ((kind, parts),) = data.items()
    match kind:
        case "int":
            return int(parts)
        case "complex":
            return complex(*parts)
        case "bytes":
            return bytes.fromhex(parts)
        case "dict":
            return {from_wire(key): from_wire(part) for key, part in parts}
    return {"list": list, "tuple": tuple, "set": set}[kind](from_wire(part) for part in parts)


class Solution:
    """The other process, as functions to call."""

    def __init__(self, source: str) -> None:
        command = [sys.executable, "-I", "-c", source, "solution"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        self._process, self._to, self._from = process, process.stdin, process.stdout

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Raises: what the solution raised, if it is an error of Python's own."""
        self._to.write(json.dumps(question).encode() + b"\n")
        self._to.flush()
        line = self._from.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise RuntimeError("the solution ended its process, or returned too much")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        if "raised" in answer:
            name, text = answer["raised"]
            kind = getattr(builtins, str(name), None)
            # An AssertionError would be read as a failed test.
            if isinstance(kind, type) and issubclass(kind, Exception) and kind is not AssertionError:
                raise kind(str(text))
            raise RuntimeError(f"{name}: {text}")
        return answer

    def function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return from_wire(self.ask({"call": name, "args": to_wire(args), "kwargs": to_wire(kwargs)})["returned"])

        call.__name__ = name
        return call


def run_tests(job: dict[str, Any]) -> None:
    """Raises: whatever makes the solution wrong."""
    solution = Solution(job["source"])
    solution.ask({"limits": job["limits"]})
    defined = job["setup"] + "\n" + job["solution"]
    if job["in_process"]:
        answer = solution.ask({"define": defined, "unittest": job["tests"]})
        assert answer.get("passed") is True, str(answer.get("reason"))
        return
    solution.ask({"define": defined})
    names: dict[str, Any] = {"__name__": "tests"}
    exec(compile(job["setup"], "setup", "exec"), names)
    names[job["entry_point"]] = solution.function(job["entry_point"])
    exec(compile(job["tests"], "tests", "exec"), names)


def be_tester() -> None:
    verdict = int(sys.argv[2])
    os.set_inheritable(verdict, False)
    job = json.loads(sys.stdin.buffer.read())
    token = job.pop("token")

    def say(text: str) -> None:
        os.write(verdict, f"{token} {text}\n".encode(errors="backslashreplace"))

    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process may read this one's memory
    say("ready")
    try:
        run_tests(job)
    except BaseException as error:  # tests may raise anything
        say("fail " + " ".join(f"{type(error).__name__}: {error}".split())[:500])
    else:
        say("pass")


def be_solution() -> None:
    # What the solution prints goes nowhere, and it cannot break the line that is the answer by printing.
    answers, questions = os.fdopen(os.dup(1), "w"), io.TextIOWrapper(os.fdopen(os.dup(0), "rb"))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    names: dict[str, Any] = {"__name__": "solution"}
    for line in questions:
        try:
            answer = respond(json.loads(line), names)
        except BaseException as error:  # whatever the solution raises, even SystemExit
            answer = {"raised": [type(error).__name__, str(error)[:500]]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def respond(question: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    if "limits" in question:
        for name, value in question["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        return {"limited": True}
    if "call" in question:
        returned = names[question["call"]](*from_wire(question["args"]), **from_wire(question["kwargs"]))
        return {"returned": to_wire(returned)}
    exec(compile(question["define"], "solution", "exec"), names)
    return run_unittests(question["unittest"], names) if "unittest" in question else {"defined": True}


def run_unittests(tests: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(tests, "tests", "exec"), names)
    kinds = [kind for kind in names.values() if isinstance(kind, type) and issubclass(kind, unittest.TestCase)]
    suite = unittest.TestSuite(unittest.TestLoader().loadTestsFromTestCase(kind) for kind in kinds)
    result = unittest.TestResult()
    suite.run(result)
    problems = [text.strip().splitlines()[-1] for _, text in [*result.failures, *result.errors]]
    if not result.testsRun:
        problems.append("there were no tests")
    return {"passed": not problems, "reason": "; ".join(problems)[:500]}


if __name__ == "__main__":
    {"tester": be_tester, "solution": be_solution}[sys.argv[1]]()
