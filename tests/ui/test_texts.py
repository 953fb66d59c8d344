"""Tables of texts: what an answer looks like, and which replies a question offers."""

from __future__ import annotations

import pytest

pytest.importorskip("latex2mathml", reason="the web app is not installed: make setup-ui")

from ui.choices import quick_replies
from ui.prose import prose


@pytest.mark.parametrize(
    ("text", "shown", "hidden"),
    [
        ("The answer is \\boxed{24}.", "<mn>24</mn>", "boxed"),
        ("\\[\\boxed{\\sqrt{a}}\\]", "<msqrt>", "$"),
        ("$$\\boxed{2}$$ and $\\boxed{3}$", "<mn>3</mn>", "$"),
        ("It is \\(x^2\\).", "<msup>", "\\("),
        ("between $5 and $6 dollars", "$5 and $6", "<math"),
        ("$\\frac{$ is broken", "<code>", "<mfrac"),
        ("<script>alert(1)</script>", "&lt;script&gt;", "<script"),
        ("[x](javascript:alert(1)) ![y](http://a.b/c.png)", "javascript", "<img"),
    ],
)
def test_an_answer_is_set_and_never_becomes_markup(text: str, shown: str, hidden: str) -> None:
    made = prose(text)
    assert shown in made
    assert hidden not in made
    assert 'href="javascript' not in made


@pytest.mark.parametrize(
    ("question", "replies"),
    [
        ("Is it each day or each week that Nina saves 7 dollars?", ("Each day", "Each week")),
        ("Is it 7 dollars a day or a week?", ("7 dollars a day", "A week")),
        ("Is it 10 pages for one day or for all the days?", ("For one day", "For all the days")),
        ("Metric or imperial?", ("Metric", "Imperial")),
        ("Which unit: metres, feet or miles?", ("Metres", "Feet", "Miles")),
        ("Does she pay tax?", ("Yes", "No")),
        ("How many pens does Nora get?", ()),
        ("What did Tom or Ann buy?", ()),
        ("Metric or imperial", ()),
        ("", ()),
        ("a or b?" * 100, ()),
    ],
)
def test_replies_are_offered_where_a_question_spells_them_out(question: str, replies: tuple[str, ...]) -> None:
    assert quick_replies(question) == replies
