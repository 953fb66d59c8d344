"""Trajectories that await their user or have ended, as suspensions and nodes of a store, and a clock to set."""

from __future__ import annotations

from dataclasses import replace

from pir_serve.store.base import Node, Suspension
from pir_serve.trajectory import Author, Segment, Status, Trajectory

T0 = 1_800_000_000.0
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def begin(session: str = "s_1", said: str = "A tank leaks. How much is left?") -> Trajectory:
    prompt = (
        Segment(Author.TEMPLATE, "<system>", (1,)),
        Segment(Author.USER, "You are a plumber.", (2,)),
        Segment(Author.TEMPLATE, "<user>", (3,)),
        Segment(Author.USER, said, (4, 5)),
        Segment(Author.TEMPLATE, "<assistant><think>\n", (6,)),
    )
    return Trajectory(session, "pir-tiny", prompt)


def ask(trajectory: Trajectory, question: str = "How many litres were spilled?") -> Trajectory:
    thought = Segment(Author.MODEL, f"Hm, zebras. <asking>{question}</asking>", (7, 8), (-0.5, -1.0))
    return trajectory.append(thought).suspend(question)


def answer(trajectory: Trajectory, response: str = "About 3.", final: str = "It is \\boxed{12}.") -> Trajectory:
    reply = Segment(Author.USER, f"<response>{response}</response>", (9,))
    resumed = trajectory.respond(response, reply, by=Author.USER)
    return resumed.append(Segment(Author.MODEL, f"So.\n</think>\n{final}", (10, 11))).end(Status.COMPLETED)


def make_node(sid: str, trajectory: Trajectory, *, created: float = T0, **fields: object) -> Node:
    plain = Node(
        sid=sid,
        tenant="t",
        scope="",
        model="pir-tiny",
        digest="d",
        trajectory=trajectory,
        request={"ask": "auto"},
        transcript_key="tk",
        question_key="qk",
        message_keys=("m1",),
        system_key="",
        parent=None,
        created=created,
        expires=created + DAY,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def make_trajectory(question: str = "How many litres were spilled?") -> Trajectory:
    prompt = Segment(Author.TEMPLATE, "<user>A tank leaks.<think>\n", (1, 5, 70_000))
    thought = Segment(Author.MODEL, f"Hm. <asking>{question}</asking>", (9, 8, 7), (-0.5, -1.25, 0.0), (9, 8, 12))
    return Trajectory("pir_s", "pir-tiny").append(prompt, thought).suspend(question)


def make_suspension(sid: str = "pir_1", *, tenant: str = "t", created: float = T0, **fields: object) -> Suspension:
    plain = Suspension(
        sid=sid,
        tenant=tenant,
        scope="",
        model="pir-tiny",
        digest="d",
        trajectory=make_trajectory(),
        request={"temperature": 0.5, "ask": "auto", "stop": ["é"]},
        transcript_key="tk",
        question_key="qk",
        message_keys=("m1", "~l1"),
        system_key="",
        parent=None,
        created=created,
        expires=created + DAY,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]
