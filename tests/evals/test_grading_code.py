"""Programs in the sandbox: right ones pass, and hostile ones neither pass nor reach anything.

Each case runs in every level that this machine has; what a level does not promise is not asked of it.
"""

from __future__ import annotations

import http.server
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evals.grading import grade
from evals.grading.code import grade_code, solution_of
from evals.grading.sandbox import LEVELS, SandboxError, run_tests, strongest_level
from tests.evals.hand_made import played, row

ADD = "def add(a, b):\n    return a + b\n"
TESTS = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n\ncheck(add)\n"


def works(level):
    try:
        return run_tests(ADD, TESTS, "add", level=level, timeout_s=30).passed
    except SandboxError:
        return False


AVAILABLE = [level for level in LEVELS if works(level)]
CONTAINED = [level for level in AVAILABLE if level != "rlimits"]


@pytest.fixture(params=AVAILABLE)
def level(request):
    return request.param


@pytest.fixture(
    params=CONTAINED or [pytest.param(None, marks=pytest.mark.skip(reason="no namespaces on this machine"))]
)
def contained(request):
    return request.param


IS_ONE = "def check_one(x):\n    assert x == 1\n"


def outcome(body, level, *, timeout_s=20.0, tests="check_one(one())", setup=IS_ONE):
    """Of a function `one`, whose body this is and which should return 1."""
    solution = "def one():\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return run_tests(solution, tests, "one", setup=setup, level=level, timeout_s=timeout_s)


def test_the_strongest_level_is_the_first_that_works():
    assert strongest_level() == AVAILABLE[0]


def test_right_and_wrong_programs(level):
    assert run_tests(ADD, TESTS, "add", level=level).passed
    wrong = run_tests("def add(a, b):\n    return a - b\n", TESTS, "add", level=level)
    assert not wrong.passed
    assert "AssertionError" in wrong.reason
    assert wrong.level == level


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("def add(a, b) return a", "SyntaxError"),
        ("", "KeyError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("def add(a, b):\n    raise ValueError('no')", "ValueError: no"),
        ("def add(a, b):\n    return add(a, b)", "RecursionError"),
        ("def add(a, b):\n    return object()", "no plain data"),
    ],
)
def test_broken_programs_are_wrong_and_say_why(solution, reason):
    found = run_tests(solution, TESTS, "add")
    assert not found.passed
    assert reason in found.reason


def test_plain_data_of_every_kind_comes_through_unchanged():
    values = (
        "[None, True, 1, -2.5, float('inf'), 'é\\n', b'\\x00', (1, (2,)), [], {'a': {1: (2,)}}, {1, 2}, 10**30, 2j]"
    )
    tests = f"for value in {values}:\n    got = same(value)\n    assert got == value and type(got) is type(value), (got, value)"
    assert run_tests("def same(x):\n    return x", tests, "same").reason == ""


def test_an_exception_that_the_tests_expect_is_that_exception():
    tests = "try:\n    fail()\nexcept KeyError:\n    pass\nelse:\n    assert False"
    assert run_tests("def fail():\n    return {}['x']", tests, "fail").passed


def test_helpers_of_the_setup_serve_tests_and_solution():
    setup = "import math\ndef poly(x):\n    return x * x - 2\n"
    assert run_tests(
        "def root():\n    return math.sqrt(2)", "assert abs(poly(root())) < 1e-9", "root", setup=setup
    ).passed
    # The tests' own copy counts, not one that the solution put in its place.
    cheat = "def poly(x):\n    return 0\ndef root():\n    return 7"
    assert not run_tests(cheat, "assert abs(poly(root())) < 1e-9", "root", setup=setup).passed


UNITTEST = (
    "import unittest\nclass TestOne(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(one(), 1)\n"
)


def test_unittest_cases_run_too():
    assert outcome("return 1", None, tests=UNITTEST).passed
    wrong = outcome("return 2", None, tests=UNITTEST)
    assert not wrong.passed
    assert "2 != 1" in wrong.reason
    assert "no tests" in outcome("return 1", None, tests="import unittest").reason


def test_an_infinite_loop_ends_in_time(level):
    begun = time.monotonic()
    found = outcome("while True:\n    pass", level, timeout_s=1)
    assert found.timed_out
    assert not found.passed
    assert time.monotonic() - begun < 20


def test_leaving_the_process_is_no_pass(level):
    for body in ("import os\nos._exit(0)", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"):
        found = outcome(body, level)
        assert not found.passed
        assert "ended its process" in found.reason


def test_endless_output_and_memory_are_contained(level):
    assert not outcome("while True:\n    print('x' * 10**6)", level, timeout_s=1).passed
    assert "MemoryError" in outcome("return len(bytearray(8 * 10**9))", level).reason
    assert "returned too much" in outcome("return 'x' * 10**7", level).reason


FORK_BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""


def test_a_fork_bomb_dies_with_its_sandbox(contained):
    before = num_processes()
    assert not outcome(FORK_BOMB, contained, timeout_s=1.5).passed
    deadline = time.monotonic() + 10
    while num_processes() > before + 25 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert num_processes() <= before + 25


def num_processes():
    return sum(entry.name.isdigit() for entry in Path("/proc").iterdir())


def test_there_is_no_network(contained):
    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            knocks.append(self.path)

        def log_message(self, *_):
            pass

    knocks = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        body = f"""
            import socket
            socket.create_connection(("127.0.0.1", {server.server_port}), 2).sendall(b"GET / HTTP/1.0\r\n\r\n")
            return 1
        """
        found = outcome(body, contained)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not found.passed
    assert "Error" in found.reason
    assert knocks == []


REACH_OUT = """
    import os
    reached = [place for place in ("/etc/passwd", "/home", "/var", {secret!r}) if os.path.exists(place)]
    for place in ("/usr/x", "/etc/x", "/x", "/dev/x", {new!r}):
        try:
            open(place, "w").close()
            reached.append(place)
        except OSError:
            pass
    with open("mine", "w") as file:
        file.write("x")
    return " ".join(reached) or 1
"""


def test_nothing_outside_is_read_or_written(contained, tmp_path):
    secret, new = tmp_path / "gold.txt", tmp_path / "new"
    secret.write_text("1")
    body = REACH_OUT.format(secret=str(secret), new=str(new))
    assert outcome(body, contained, tests="assert one() == 1, one()").reason == ""
    assert list(tmp_path.iterdir()) == [secret]


LOOK_AROUND = """
    import gc, os, sys
    seen = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "mem", "maps"):
            try:
                if int(pid) != os.getpid():
                    with open(f"/proc/{pid}/{name}", "rb") as file:
                        seen += [f"{name} of {pid}", "" if name == "mem" else file.read().decode(errors="replace")]
            except OSError:
                pass
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(64) if os.path.islink(f"/proc/self/fd/{fd}")]
    if sum(link.startswith("pipe:") for link in links) > 2:  # its own two
        seen.append("another pipe")
    frame = sys._getframe()
    while frame:
        seen += [str(thing) for thing in (*frame.f_globals.values(), *frame.f_locals.values())]
        frame = frame.f_back
    seen += [str(thing) for thing in gc.get_objects() if isinstance(thing, (dict, list)) and len(thing) < 50]
    text = " ".join(seen)
    found = [word for word in ("-".join(("gold", "value")), "mem of", "maps of", "another pipe") if word in text]
    return " ".join(found) or 1
"""


def test_the_tests_are_out_of_reach_of_the_solution(contained):
    tests = "gold = 'gold-value'\nassert one() == 1, one()"
    assert outcome(LOOK_AROUND, contained, tests=tests).reason == ""


def test_a_verdict_cannot_be_forged_through_open_descriptors(level):
    body = """
        import os
        for fd in range(3, 64):
            try:
                os.write(fd, b"pass\n")
            except OSError:
                pass
        return 2
    """
    assert not outcome(body, level).passed


def test_what_calls_itself_equal_to_everything_is_not(level):
    body = (
        "class Any(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\nreturn Any(5)"
    )
    assert not outcome(body, level).passed


def test_code_is_found_in_a_reply():
    fenced = f"First:\n```python\nx = 1\n```\nthen\n```python\n{ADD}```\nand `add(1, 2)`:\n```\n3\n```"
    assert solution_of(fenced, "add") == ADD
    assert solution_of(f"I think ```python\nno\n```</think>\n```py\n{ADD}```", "add") == ADD
    assert solution_of(ADD, "add") == ADD.strip()
    assert solution_of("```\nx = 1\n```", "add") == "x = 1\n"
    assert solution_of("I would add the numbers.", "add") is None
    assert solution_of("", "add") is None


def test_the_grade_names_the_sandbox():
    found = grade_code(f"```python\n{ADD}```", TESTS, "add")
    assert (found.verdict, found.detail["sandbox"]) == ("correct", strongest_level())
    assert grade_code("```python\ndef add(a, b):\n    return 0\n```", TESTS, "add").verdict == "wrong"
    assert (
        grade_code("```python\ndef add(a, b):\n    while True: pass\n```", TESTS, "add", timeout_s=0.5).verdict
        == "timeout"
    )
    assert grade_code("No.", TESTS, "add").verdict == "unparsed"


def test_a_row_of_code_is_graded_by_its_tests():
    of = replace(row(0), grader="code", gold=ADD, extra={"tests": TESTS, "entry_point": "add", "setup": ""})
    transcript = replace(played(of).transcript, final=f"Here:\n```python\n{ADD}```")
    assert grade(of, transcript).is_correct
