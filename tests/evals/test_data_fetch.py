"""Fetching: what lands on this machine, resumed and checked, through the command and a local web server."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from dataclasses import replace

import pytest
from click.testing import CliRunner

from evals.commands.data import data
from evals.data.fetch import DataError, available, fetch, held
from evals.data.registry import data_sets

CONTENT = "".join(json.dumps({"question": f"Q{n}?", "answer": f"#### {n}"}) + "\n" for n in range(20000)).encode()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Host(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.cut, self.ignores_ranges = CONTENT, [], None, False


class Handler(http.server.BaseHTTPRequestHandler):
    server: Host

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not self.server.ignores_ranges else 0
        if self.path != "/data.jsonl":
            self.send_error(404)
            return
        if start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", "abc123")
        self.end_headers()
        self.wfile.write(body[: self.server.cut] if self.server.cut else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def host():
    server = Host()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dataset(host, tmp_path, monkeypatch):
    monkeypatch.setenv("PIR_DATA", str(tmp_path / "cache"))
    entry = replace(data_sets()["gsm8k"], url=f"http://127.0.0.1:{host.server_port}/data.jsonl", sha256=DIGEST)
    monkeypatch.setattr("evals.data.registry.data_sets", lambda: {"gsm8k": entry})
    monkeypatch.setattr("evals.commands.data.data_sets", lambda: {"gsm8k": entry})
    return entry


def test_a_file_is_fetched_once_and_checked(host, dataset):
    seen = []
    here = fetch(dataset, progress=lambda done, total: seen.append((done, total)))
    assert (here.state, here.sha256) == ("verified", DIGEST)
    assert here.path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert available(dataset) == here.path
    assert fetch(dataset) == here
    assert len(host.ranges) == 1


def test_a_download_that_broke_off_goes_on_where_it_was(host, dataset):
    host.cut = 100_000
    with pytest.raises(DataError, match="fetch again to go on"):
        fetch(dataset)
    assert held(dataset).state == "partial"
    host.cut = None
    assert fetch(dataset).state == "verified"
    assert host.ranges == [None, "bytes=100000-"]


def test_a_host_that_cannot_resume_sends_all_again(host, dataset):
    host.cut, host.ignores_ranges = 100_000, True
    with pytest.raises(DataError):
        fetch(dataset)
    host.cut = None
    assert fetch(dataset).path.read_bytes() == CONTENT


def test_a_whole_file_whose_last_step_was_lost_is_taken(host, dataset):
    part = held(dataset).path.with_name("gsm8k.jsonl.part")
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert fetch(dataset).state == "verified"


def test_what_has_another_hash_is_deleted_and_said(host, dataset):
    host.content = CONTENT.replace(b"Q7?", b"Q8?")
    with pytest.raises(DataError, match=f"not {DIGEST}; it is deleted"):
        fetch(dataset)
    assert held(dataset).state == "missing"
    with pytest.raises(DataError, match="is not on this machine"):
        available(dataset)


def test_without_a_known_hash_the_first_fetch_records_it_and_later_ones_are_held_to_it(host, dataset):
    unknown = replace(dataset, sha256="", revision="")
    here = fetch(unknown)
    assert (here.state, here.sha256) == ("recorded", DIGEST)
    record = json.loads(here.path.with_name("gsm8k.jsonl.fetched.json").read_text())
    assert record == {"url": dataset.url, "sha256": DIGEST, "bytes": len(CONTENT), "revision": "abc123"}
    here.path.write_bytes(b"{}")
    assert held(unknown).state == "changed"
    with pytest.raises(DataError, match="is not the data set gsm8k"):
        available(unknown)
    host.content = CONTENT + b"\n"
    with pytest.raises(DataError, match="it is deleted"):
        fetch(unknown)


def test_a_changed_file_is_fetched_again(host, dataset):
    path = fetch(dataset).path
    path.write_bytes(b"{}")
    assert fetch(dataset).path.read_bytes() == CONTENT


@pytest.mark.parametrize(("path", "said"), [("/gone", "404"), ("", "cannot be reached")])
def test_a_host_that_has_it_not_is_told_in_words(host, dataset, path, said):
    url = f"http://127.0.0.1:{host.server_port}{path}" if path else "http://127.0.0.1:9/x"
    with pytest.raises(DataError, match=said):
        fetch(replace(dataset, url=url))


def _run(*arguments: str):
    return CliRunner().invoke(data, list(arguments))


def test_the_command_fetches_lists_and_verifies(dataset):
    assert json.loads(_run("list", "--json").stdout)[0]["here"] == "missing"
    assert "nothing is in" in _run("verify").stdout
    assert _run("verify", "gsm8k").exit_code == 1
    fetched = _run("fetch", "gsm8k")
    assert fetched.exit_code == 0
    assert "licence MIT" in fetched.stdout
    assert "verified" in _run("list").stdout
    assert _run("verify").exit_code == 0
    held(dataset).path.write_bytes(b"other")
    verified = _run("verify")
    assert (verified.exit_code, "changed" in verified.stdout) == (1, True)


def test_the_command_says_when_a_hash_was_only_recorded(dataset, monkeypatch):
    monkeypatch.setattr("evals.data.registry.data_sets", lambda: {"gsm8k": replace(dataset, sha256="")})
    assert "was recorded, not checked" in _run("fetch", "gsm8k").stderr


def test_a_file_of_ones_own_is_compared_with_the_original(dataset, tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(CONTENT)
    assert "the original of gsm8k" in _run("verify", "gsm8k", "--file", str(mine)).stdout
    mine.write_bytes(b"x")
    assert _run("verify", "gsm8k", "--file", str(mine)).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fetch", "nope"), "no data set 'nope'; there are gsm8k"),
        (("verify", "nope"), "no data set 'nope'"),
        (("fetch",), "Missing argument"),
    ],
)
def test_wrong_arguments_are_refused_in_words(dataset, arguments, said):
    result = _run(*arguments)
    assert result.exit_code != 0
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_written_is_told_in_words(dataset, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("PIR_DATA", str(blocked / "below"))
    result = _run("fetch", "gsm8k")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
