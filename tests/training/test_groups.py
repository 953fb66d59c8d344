"""Groups of rollouts: those that teach nothing give way to other problems, and nobody waits for anybody else's user."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evals.problems import make_pair
from evals.rows import Row
from evals.simulators import Exchange, Intent, Response
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from tests.fakes import ScriptedEngine
from training.groups import Draw, Group, Groups, columns, has_signal
from training.judge import RuleJudge
from training.rewards import RewardConfig
from training.rollout import Rollouts
from training.scoring import Scorer
from training.users import Users

PAIRS = [make_pair("validation", 5, index) for index in range(8)]
EXAMPLES = [columns(Row.of(incomplete, "t")) for _, incomplete in PAIRS]
ROWS = [Row.of(incomplete, "t") for _, incomplete in PAIRS]
DRAW = Draw(seed=1, step=3, process=0)


def solves(shown: str) -> str:
    """What a model that knew everything would write."""
    row = next(row for row in ROWS if row.shown in shown)
    return f"So.\n</think>\nThe answer is \\boxed{{{row.gold}}}."


class Model:
    """Solves some problems in every rollout, some in none, and the others in every second one."""

    def __init__(self, always: Sequence[int] = (), never: Sequence[int] = ()) -> None:
        self.always, self.never = [ROWS[k].shown for k in always], [ROWS[k].shown for k in never]
        self.played: list[str] = []
        self.all_played = asyncio.Event()
        """All that others play beside the first group in the last test."""

    def __call__(self, shown: str) -> str:
        row = next(row for row in ROWS if row.shown in shown)
        self.played.append(row.row_id)
        if len(self.played) == 4 + 3 * 4:
            self.all_played.set()
        right = row.shown in self.always or (row.shown not in self.never and self.played.count(row.row_id) % 2)
        return solves(shown) if right else "So.\n</think>\nThe answer is \\boxed{-1}."


def play(model: Model, numbers: Sequence[int], users: Users | None = None, **more: object) -> list[Group]:
    rollouts = Rollouts(ScriptedEngine(BUILTIN_MODEL, model, eos="<|end|>"), PromptCodec.load(BUILTIN_MODEL))
    groups = Groups(rollouts, Scorer(RewardConfig("ours"), RuleJudge()), users or Users.parse("clean"))
    try:
        return groups.play([EXAMPLES[k] for k in numbers], 4, DRAW, **more)  # type: ignore[arg-type]
    finally:
        rollouts.close()


def test_groups_without_a_signal_give_way_to_other_problems_and_the_others_stay() -> None:
    model = Model(always=(0,), never=(1,))
    made = play(model, [0, 1, 2], others=EXAMPLES[3:], refills=2)
    assert [len(group.rounds) for group in made] == [2, 2, 1]
    assert made[2].example == EXAMPLES[2]
    for group, first in zip(made, (0, 1, 2), strict=True):
        assert {played.rollout.row.row_id for played in group.rounds[0]} == {ROWS[first].row_id}
        assert all(len(played) == 4 and len({p.rollout.row.row_id for p in played}) == 1 for played in group.rounds)
        assert has_signal(group.rounds[-1]) and not any(map(has_signal, group.rounds[:-1]))
        assert columns(group.rounds[-1][0].rollout.row) == group.example


def test_refilling_ends_where_nothing_teaches() -> None:
    made = play(Model(never=range(8)), [0, 1], others=EXAMPLES, refills=3)
    assert [len(group.rounds) for group in made] == [4, 4]
    assert [len(group.rounds) for group in play(Model(never=range(8)), [0, 1])] == [1, 1]


def test_the_same_draw_plays_the_same_problems_and_samples() -> None:
    def seeds(draw_more: dict[str, object]) -> list[tuple[str, int]]:
        made = play(Model(always=range(8)), [0, 1], others=EXAMPLES, refills=3, **draw_more)
        return [(p.rollout.row.row_id, p.rollout.job.seed) for group in made for played in group.rounds for p in played]

    assert seeds({}) == seeds({})
    assert len(set(seeds({}))) == 2 * 4 * 4


class Slow:
    """A user who replies when everybody else has been at their third problem."""

    def __init__(self, model: Model) -> None:
        self.model = model

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        async with asyncio.timeout(20):
            await self.model.all_played.wait()
        return Response("It is 7.", (), "answer")


def test_a_group_whose_user_takes_his_time_holds_up_no_other() -> None:
    """With refills in rounds this would wait for ever: the second group's later problems come only behind the first's end."""

    class Asks(Model):
        def __call__(self, shown: str) -> str:
            said = super().__call__(shown)
            return "<asking>How many?</asking>" if ROWS[0].shown in shown and "<response>" not in shown else said

    model = Asks(always=range(1, 8))
    rollouts = Rollouts(ScriptedEngine(BUILTIN_MODEL, model, eos="<|end|>"), PromptCodec.load(BUILTIN_MODEL))

    class SlowUsers(Users):
        def draw(self, key: str) -> Slow:  # type: ignore[override]
            return Slow(model)

    groups = Groups(rollouts, Scorer(RewardConfig("ours"), RuleJudge()), SlowUsers("rule", (("clean", 1.0),), 0, {}))
    try:
        made = groups.play(EXAMPLES[:2], 4, DRAW, others=EXAMPLES[2:], refills=2)
    finally:
        rollouts.close()
    assert not any(played.rollout.failure for group in made for played in group.rounds[0])
    assert len(made[1].rounds) == 3
