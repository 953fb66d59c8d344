"""What people say when they are asked for a fact. Every fourth skeleton is kept for the `new_phrasing` persona."""

from __future__ import annotations

from random import Random

from evals.problems.grammar import fill, skeletons
from evals.problems.kinds import KINDS
from evals.problems.model import Fact

_NUMBER = skeletons("""
{v}
{v} {unit}
It is {v}.
[Oh|Sorry], [it is|that is] {v} {unit}.
{v} {unit}.
{statement}
{line}
Let me see: {v} {unit}.
It is {v} {unit}.
That is {v} {unit}.
{statement}
[Oh|Sorry], I forgot. {statement}
[Oh|Sorry], {v} {unit}.
I forgot to say: {v} {unit}.
Let me see, {v}.
That is {v}, I forgot to say.
{line}
{v}, that is {v} {unit}.
""")
_READING = skeletons("""
{reply}
{reply}
{statement}
[Oh|Sorry], I forgot. {reply}
{line}
[Oh|Sorry]. {reply}
{reply}
I forgot to say: {line}
""")
_TERSE = skeletons("""
{v}
{v}.
{v} {unit}
{v} {unit}.
""")
_VERBOSE = skeletons("""
[Oh, sorry|Good question|Sure|Of course], I forgot to say that. {statement} I hope this helps[ you|].
Thank you for asking. {statement} Please go on[| now].
[Oh|Sorry], that is my mistake. {statement} Is that all you need?
Good question, I forgot that. {statement} Please go on now.
Let me see. I think I can help you with that. {statement} I hope that is all you need.
Sure, I can tell you that. {line} Please go on and find the answer for me.
I am happy to help. {line} Thank you for [asking|your help].
Of course, I am happy to tell you. {line} I hope that helps.
""")
_DONT_KNOW = skeletons("""
I don't know.
I do not know[| that].
[Sorry|Oh], I don't know[| that].
I have no idea.
No idea[|, sorry].
I am not sure[|, sorry].
[Sorry|Oh], I can't tell you that.
I am sorry, I do not know that.
""")
_OFF_TOPIC = skeletons("""
I like [tea|music|long walks].
The weather is nice today.
[Can|Could] you help me with this?
My sister likes music.
[Sorry|Oh], I have to go soon.
This is for school.
I like this question.
I could help my sister today.
""")
_UNCLEAR = skeletons("""
I am not sure what you mean.
[Sorry|Oh], I do not understand[ the question|].
What do you mean?
Sorry, I am not sure what you mean.
[Can|Could] you ask that in another way?
I do not understand what you need.
""")


def _slots(fact: Fact, rng: Random, v: str, *, held_out: bool) -> dict[str, str]:
    kind = KINDS[fact.kind]
    slots = {**fact.slots, "v": v}
    words = {
        "v": v,
        "unit": fact.unit,
        "statement": fill(kind.says.choose(rng, held_out=held_out), slots, rng),
        "line": kind.line.format_map(slots),
    }
    if kind.replies is not None:
        words["reply"] = fill(kind.replies.choose(rng, held_out=held_out), slots, rng)
    return words


def _tidy(text: str) -> str:
    """Mend what an empty unit leaves behind."""
    return text.strip().replace(" .", ".").replace(" ,", ",")


def tell(fact: Fact, rng: Random, *, v: str | None = None, held_out: bool = False) -> str:
    """A reply that gives the fact; `v` is how its number is written."""
    words = _slots(fact, rng, v or str(fact.value), held_out=held_out)
    block = _READING if KINDS[fact.kind].reading else _NUMBER
    return _tidy(fill(block.choose(rng, held_out=held_out), words, rng))


def tell_briefly(fact: Fact, rng: Random) -> str:
    """As few words as possible."""
    replies = KINDS[fact.kind].replies
    if replies is not None:
        return fill(replies.all[int(rng.random() * 2)], {**fact.slots, "v": str(fact.value)}, rng)
    return _tidy(fill(_TERSE.all[int(rng.random() * 4)], {"v": str(fact.value), "unit": fact.unit}, rng))


def tell_at_length(fact: Fact, rng: Random) -> str:
    """The fact inside a polite speech."""
    return fill(_VERBOSE.choose(rng, held_out=False), _slots(fact, rng, str(fact.value), held_out=False), rng)


def state(fact: Fact, rng: Random) -> str:
    """A full sentence that gives the fact."""
    words = _slots(fact, rng, str(fact.value), held_out=False)
    return words["statement"]


def dont_know(rng: Random) -> str:
    return fill(_DONT_KNOW.choose(rng, held_out=False), {}, rng)


def off_topic(rng: Random) -> str:
    return fill(_OFF_TOPIC.choose(rng, held_out=False), {}, rng)


def unclear(rng: Random) -> str:
    return fill(_UNCLEAR.choose(rng, held_out=False), {}, rng)
