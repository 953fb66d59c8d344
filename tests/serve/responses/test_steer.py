"""What a user says while the model reasons, over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pir_serve.steering import MAX_WAITING
from tests.fakes import Line
from tests.serve.brains import PROBLEM, responses
from tests.serve.conftest import Desk
from tests.serve.responses.sdk_socket import SDK_WARNS, connected, received, thoughtful, until
from tests.serve.responses.wire import ENDS, assembled, output_text

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
pytestmark = SDK_WARNS
FINAL = "Six pens at 4 dollars each."


def test_what_the_user_says_meanwhile_goes_into_the_reasoning(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(thoughtful)) as desk, connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM)
        first = until(connection, "response.reasoning_text.delta")
        first_id = first[0]["response"]["id"]
        connection.response.steer(previous_response_id=first_id, input="4 dollars")
        first += until(connection, "response.incomplete")
        (accepted,) = [e for e in first if e["type"] == "response.steer.accepted"]
        assert accepted["steer"]["previous_response_id"] == first_id and accepted["steer"]["id"]
        assert [e["sequence_number"] for e in first] == list(range(len(first)))
        steered = assembled([e for e in first if e is not accepted])
        assert steered["incomplete_details"] == {"reason": "steered"}
        assert [item["type"] for item in steered["output"]] == ["reasoning"]
        successor = assembled(until(connection, *ENDS))
        assert successor["id"] != first_id and successor["previous_response_id"] == first_id
        assert successor["status"] == "completed" and output_text(successor) == FINAL
        assert successor["pir"]["volunteered"] == ["4 dollars"] and successor["pir"]["resume"] == "new"
        said = steered["output"][0]["content"][0]["text"] + successor["output"][0]["content"][0]["text"]
        assert said.startswith("The number of pens is 6.\n") and said.endswith("One pen costs 4 dollars.\n")
        connection.response.create(model="scripted", input="And for 7?", previous_response_id=successor["id"])
        until(connection, "response.created")
    first_leg, second_leg = desk.engine.requests[:2]
    prefix = second_leg.prompt_ids[: len(first_leg.prompt_ids)]
    assert prefix == first_leg.prompt_ids, "the same hidden reasoning goes on"
    assert "<response>4 dollars</response>" in desk.engine.prompt_text(1)
    # The next request sees what was said, in its place.
    assert f"{PROBLEM}\n\n4 dollars<|im_end|>" in desk.engine.prompt_text(2)


def test_a_fact_said_while_it_reasons_and_a_question_after_it(make_desk: MakeDesk, on_port: Serve) -> None:
    """Not stored: the question of the successor is answered from what the connection holds."""

    def twice(prompt: str) -> Line:
        told = responses(prompt)
        if len(told) == 1:
            return Line("\n<asking>Which currency?</asking>")
        return Line(f"\n</think>\n{' '.join(told)}.") if told else thoughtful(prompt)

    with on_port(make_desk(twice)) as desk, connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM, store=False)
        first_id = until(connection, "response.reasoning_text.delta")[0]["response"]["id"]
        message: Any = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "4"}]}]
        connection.response.steer(previous_response_id=first_id, input=message)
        until(connection, "response.incomplete")
        question = until(connection, *ENDS)[-1]["response"]
        assert output_text(question) == "Which currency?"
        connection.response.create(model="scripted", input="euros", previous_response_id=question["id"], store=False)
        assert output_text(until(connection, *ENDS)[-1]["response"]) == "4 euros."
        for used, code in ((first_id, "response_not_active"), (question["id"], "response_already_completed")):
            connection.response.steer(previous_response_id=used, input="too late")
            event = received(connection)
            assert (event["type"], event["error"]["code"]) == ("response.steer.failed", code)
            assert event["steer"] == {"previous_response_id": used, "input": "too late"}


def test_what_cannot_be_steered_is_returned(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(thoughtful)) as desk, connected(desk) as connection:
        connection.response.steer(previous_response_id="resp_nowhere", input="4")
        assert received(connection)["error"]["code"] == "response_not_found"
        connection.response.create(model="scripted", input=PROBLEM)
        response_id = until(connection, "response.reasoning_text.delta")[0]["response"]["id"]
        wrong: list[Any] = [
            "", "  ", [], 7, None, [{"role": "assistant", "content": "x"}], [{"role": "system", "content": "x"}],
            [{"type": "function_call_output", "call_id": "c", "output": "x"}],
            [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}],
        ]  # fmt: skip
        for steer_input in wrong:
            raw = {"type": "response.steer", "previous_response_id": response_id, "input": steer_input}
            connection.send_raw(json.dumps(raw))
            event = until(connection, "response.steer.failed")[-1]
            assert event["error"]["code"] == "invalid_input", steer_input
            assert "id" not in event["steer"]


def test_more_than_a_reasoning_can_take_comes_back(make_desk: MakeDesk, on_port: Serve) -> None:
    """Facts go in at the end of a line, and this one does not end."""
    endless = Line("\nThe number of pens" + " is 6, and 6" * 400, delay_s=0.02)
    with on_port(make_desk(lambda _: endless)) as desk, connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM)
        response_id = until(connection, "response.reasoning_text.delta")[0]["response"]["id"]
        for k in range(MAX_WAITING + 2):
            connection.response.steer(previous_response_id=response_id, input=f"Fact {k}.")
        answers: list[Any] = []
        while len(answers) < MAX_WAITING + 2:
            event = received(connection)
            answers += [event] if event["type"].startswith("response.steer.") else []
        assert all(event["type"] == "response.steer.accepted" for event in answers[:MAX_WAITING])
        for k, event in enumerate(answers[MAX_WAITING:], MAX_WAITING):
            assert event["error"]["code"] == "too_many_pending_steers"
            assert event["steer"] == {"previous_response_id": response_id, "input": f"Fact {k}."}
