"""Family `shopping`: what things cost."""

from evals.problems.builder import Builder, goal

_PAY = """
How [much|many dollars] does {who} pay for the {items}?
How [much|many dollars] do the {items} cost [in all|in total|altogether]?
What does {who} pay [in all|in total|altogether] for the {items}?
[In all|In total|Altogether], how [much|many dollars] does {who} pay for the {items}?
How [much|many dollars] does {who} spend on the {items}?
How much money does {who} need for [all|] the {items}?
"""
_BILL = """
How [much|many dollars] does {who} pay [in all|in total|altogether]?
What does {who} pay [in all|in total|altogether]?
How [much|many dollars] does {who} spend [in all|in total|altogether]?
[In all|In total|Altogether], how [much|many dollars] does {who} pay?
How [much|many dollars] does {who} have to pay?
How [much|many dollars] is the whole bill?
"""
_LEFT = """
How much money does {who} have left?
How many dollars does {who} have left[| after that| at the end]?
How [much|many dollars] [is|are] left over?
How [much|many dollars] does {who} have [after that|at the end]?
How much money is left [for {who}|at the end]?
How much change does {who} get?
""".replace("How [much|many dollars] [is|are] left over?", "How much money is left over?")


@goal("shopping")
def cost(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    number = b.fact("buys", b.big_factor())
    price = b.fact("price_each", b.factor())
    b.goal(number, "*", price, "the cost of the {items}", "dollars", _PAY)


@goal("shopping")
def change(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    count, each = b.factor(), b.factor()
    money = b.fact("money", count * each + b.between(2, 60))
    number = b.fact("buys", count)
    price = b.fact("price_each", each)
    total = b.op(number, "*", price, "the cost of the {items}", "dollars")
    b.goal(money, "-", total, "the money {who} has left", "dollars", _LEFT)


@goal("shopping")
def two_things(b: Builder) -> None:
    b.twins = True
    item, second = b.goods(2)
    b.use(who=b.person(), item=item)
    number = b.fact("buys", b.factor())
    price = b.fact("price_each", b.factor())
    number2 = b.fact("buys", b.factor(), item=second)
    price2 = b.fact("price_each", b.factor(), item=second)
    one = b.op(number, "*", price, "the cost of the {items}", "dollars")
    two = b.op(number2, "*", price2, "the cost of the {items}", "dollars", item=second)
    b.goal(one, "+", two, "the cost of everything", "dollars", _BILL)


@goal("shopping")
def two_buyers(b: Builder) -> None:
    who, other = b.person(), b.person()
    b.use(who=who, other=other, item=b.goods()[0])
    less = b.factor()
    number = b.fact("buys", b.between(less + 2, less + 12))
    number2 = b.fact("buys", less, who=other)
    price = b.fact("price_each", b.factor())
    extra = b.op(number, "-", number2, "the number of extra {items}", "")
    b.goal(
        extra,
        "*",
        price,
        "the extra money {who} pays",
        "dollars",
        """
        How [much|many dollars] more does {who} pay than {other}?
        How many more dollars does {who} [pay|spend] than {other}?
        How [much|many dollars] does {who} spend more than {other}?
        By how [much|many dollars] does {who} pay more than {other}?
        Compared [with|to] {other}, how [much|many dollars] more does {who} pay?
        By how many dollars is the bill of {who} more than that of {other}?
        """,
    )


@goal("shopping")
def single_price(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    count, each = b.factor(), b.big_factor()
    number = b.fact("buys", count)
    total = b.fact("price_all", count * each)
    b.goal(
        total,
        "/",
        number,
        "the price of one {item}",
        "dollars",
        """
        How [much|many dollars] does [one|each|a single] {item} cost?
        What does [one|each|a single] {item} cost?
        How [much|many dollars] does {who} pay for [one|each] {item}?
        For [one|each|a single] {item}, how [much|many dollars] does {who} pay?
        How [much|many dollars] is [one|each|a single] {item}?
        What is the cost of [one|each|a single] {item}?
        """,
    )


@goal("shopping")
def with_coupon(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    count, each = b.between(3, 12), b.between(3, 12)
    number = b.fact("buys", count)
    price = b.fact("price_each", each)
    off = b.fact("coupon", b.between(2, count * each - 2))
    total = b.op(number, "*", price, "the cost of the {items}", "dollars")
    b.goal(total, "-", off, "the money {who} pays", "dollars", _BILL)


@goal("shopping")
def delivered(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    number = b.fact("buys", b.factor())
    price = b.fact("price_each", b.factor())
    fee = b.fact("fee", b.between(2, 20))
    total = b.op(number, "*", price, "the cost of the {items}", "dollars")
    b.goal(total, "+", fee, "the money {who} pays", "dollars", _BILL)


@goal("shopping")
def each_or_all(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    each = b.rng.random() < 0.5
    count = b.factor()
    b.use(n=str(count))
    number = b.fact("buys", count)
    if each:
        price = b.fact("cost_each", b.factor())
        fee = b.fact("fee", b.between(2, 20))
        total = b.op(number, "*", price, "the cost of the {items}", "dollars")
        b.goal(total, "+", fee, "the money {who} pays", "dollars", _BILL)
    else:
        total_price = b.fact("cost_all", b.between(count + 1, 60))
        fee = b.fact("fee", b.between(2, 20))
        b.goal(total_price, "+", fee, "the money {who} pays", "dollars", _BILL)


@goal("shopping")
def each_or_all_left(b: Builder) -> None:
    b.use(who=b.person(), item=b.goods()[0])
    count, price_value = b.factor(), b.factor()
    b.use(n=str(count))
    money = b.fact("money", count * price_value + b.between(2, 60))
    number = b.fact("buys", count)
    if b.rng.random() < 0.5:
        price = b.fact("cost_each", price_value)
        total = b.op(number, "*", price, "the cost of the {items}", "dollars")
        b.goal(money, "-", total, "the money {who} has left", "dollars", _LEFT)
    else:
        total_price = b.fact("cost_all", price_value)
        b.goal(money, "-", total_price, "the money {who} has left", "dollars", _LEFT)


@goal("shopping")
def two_things_left(b: Builder) -> None:
    b.twins = True
    item, second = b.goods(2)
    b.use(who=b.person(), item=item)
    counts, prices = (b.factor(), b.between(2, 9)), (b.between(2, 9), b.factor())
    number = b.fact("buys", counts[0])
    price = b.fact("price_each", prices[0])
    number2 = b.fact("buys", counts[1], item=second)
    price2 = b.fact("price_each", prices[1], item=second)
    money = b.fact("money", counts[0] * prices[0] + counts[1] * prices[1] + b.between(2, 60))
    one = b.op(number, "*", price, "the cost of the {items}", "dollars")
    two = b.op(number2, "*", price2, "the cost of the {items}", "dollars", item=second)
    total = b.op(one, "+", two, "the cost of everything", "dollars")
    b.goal(money, "-", total, "the money {who} has left", "dollars", _LEFT)
