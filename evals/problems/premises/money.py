"""Prices, budgets and what is paid."""

from evals.problems.kinds import kind

kind(
    "price_each",
    "the price of one {item}",
    "dollars",
    says="""
    [Each|Every|One] {item} [costs|is sold for|is] {v} dollars.
    The price of [one|each|every] {item} is {v} dollars.
    {an_item} [costs|is sold for] {v} dollars.
    [One|Each|A single] {item} has a price of {v} dollars.
    The {items} cost {v} dollars [each|apiece|per {item}].
    The shop [sells|offers] {items} at {v} dollars [each|apiece|per {item}].
    The shop asks {v} dollars for [one|each|every|a single] {item}.
    The {items} are [sold at|sold for] {v} dollars [each|apiece|per {item}].
    For [one|each|every|a single] {item}, the price is {v} dollars.
    {an_item} can be bought for {v} dollars.
    """,
    vague="""
    [Each|Every] {item} has [the same|a fixed] price.
    The {items} all cost the same.
    [Each|Every] {item} is sold at [a fixed price|the same price].
    The {items} all have [the same|a fixed] price.
    [Each|One] {item} costs [some|a few|several] dollars.
    """,
    asks="""
    How much does [one|each|a single] {item} cost?
    How many dollars is [one|each] {item}?
    What does one {item} cost?
    """,
)

kind(
    "price_all",
    "the total price of the {items}",
    "dollars",
    says="""
    {who} pays {v} dollars [in all|in total|altogether] for the {items}.
    The total price of the {items} is {v} dollars.
    [In all|In total|Altogether], {who} pays {v} dollars for the {items}.
    [Altogether|In total|In all], the price of the {items} is {v} dollars.
    {who} [spends|pays] a total of {v} dollars on the {items}.
    The bill for the {items} is {v} dollars[| in all| in total| altogether].
    The {items} [add|come] to {v} dollars [in all|in total|altogether].
    The bill for all the {items} [adds|comes] to {v} dollars.
    The {items} together cost {who} {v} dollars.
    """,
    vague="""
    {who} [pays|spends] [some money|some dollars|a few dollars] for all the {items}.
    {who} pays the bill for the {items}.
    [In all|In total|Altogether], {who} pays [some money|some dollars] for the {items}.
    {who} pays the total price of all the {items}.
    """,
    asks="""
    How much does {who} pay for all the {items}?
    How much do the {items} cost [in all|in total|altogether]?
    What is the bill for the {items}?
    """,
)

kind(
    "money",
    "the money {who} has",
    "dollars",
    says="""
    {who} has {v} dollars[| to spend| in cash].
    {who} [goes out|starts] with {v} dollars[| to spend].
    There [are|were] {v} dollars in {who's} [wallet|purse|pocket].
    {who's} [wallet|purse|pocket] has {v} dollars in it.
    {who} [has|brings] {v} dollars in cash.
    The money {who} has [to begin with|at the start|to spend|] is {v} dollars.
    [At first|At the start|To begin with], {who} has {v} dollars[| to spend].
    {who} [brings|takes] {v} dollars [to the shop|to the market|to spend].
    In {who's} [wallet|purse|pocket] there are {v} dollars.
    """,
    vague="""
    {who} has some [money|cash|dollars][| to spend].
    {who} [goes out|starts] with [some|a few] dollars.
    There is some [money|cash] in {who's} [wallet|purse|pocket].
    {who} [brings|takes] some [money|cash] [to the shop|to the market|to spend].
    """,
    asks="""
    How much money does {who} have[| at first| at the start| to spend]?
    How many dollars does {who} have?
    How much money does {who} [start with|bring]?
    """,
)

kind(
    "coupon",
    "the discount",
    "dollars",
    implied=False,
    says="""
    A coupon takes {v} dollars off the [price|bill|total].
    {who} has a coupon for {v} dollars off[| the bill| the total].
    The shop takes {v} dollars off the [bill|total|price].
    The shop gives {who} {v} dollars off the [bill|total].
    {who} [gets|receives] {v} dollars off [the bill|the total|with a coupon].
    The discount on the [bill|total] is {v} dollars.
    With a coupon, {who} pays {v} dollars less.
    There is a discount of {v} dollars[| on the bill| on the total].
    {who} uses a coupon [and pays {v} dollars less|worth {v} dollars].
    The coupon {who} [uses|has] is worth {v} dollars.
    """,
    vague="""
    {who} [uses|has] a coupon for [some|a few] dollars off.
    A coupon takes [some money|some dollars|a few dollars] off the bill.
    The shop takes [some money|something|a few dollars] off the [bill|total].
    With a coupon, {who} pays [a few dollars|something] less.
    """,
    asks="""
    How much does the coupon take off?
    How big is the discount?
    How many dollars are taken off the bill?
    """,
)

kind(
    "fee",
    "the delivery fee",
    "dollars",
    implied=False,
    says="""
    The delivery [fee|charge|cost] is {v} dollars.
    Delivery [costs|adds] {v} dollars[| more].
    {who} [also|] pays {v} dollars for delivery.
    For delivery, {who} [also|] pays {v} dollars.
    The shop [asks|charges] {v} dollars for delivery.
    There is a delivery [fee|charge] of {v} dollars.
    {who} pays a delivery [fee|charge] of {v} dollars.
    A delivery [fee|charge] adds {v} dollars [more|to the bill].
    """,
    vague="""
    There is [also|] a delivery [fee|charge].
    {who} [also|] pays [a fee|a charge|something] for delivery.
    The shop [asks|charges] [something|some money] for delivery.
    For delivery, {who} [also|] pays [something|some money].
    Delivery [costs|adds] a few dollars.
    """,
    asks="""
    How much does delivery cost?
    How many dollars does {who} pay for delivery?
    How much is the delivery charge?
    """,
)

kind(
    "spends",
    "the money {who} spends on {thing}",
    "dollars",
    implied=False,
    says="""
    {who} [spends {v} dollars on|pays {v} dollars for] {thing}.
    [Later|Then|After that], {who} spends {v} dollars on {thing}.
    {v} dollars are [paid for|spent on] {thing}[| by {who}].
    [Then|Later|After that], {v} dollars are spent on {thing}.
    The money {who} [spends on|pays for] {thing} is {v} dollars.
    For {thing}, {who} [pays|has to pay] {v} dollars.
    {who} has to pay {v} dollars for {thing}.
    {who} [uses|takes] {v} dollars to pay for {thing}.
    To pay for {thing}, {who} [needs|uses|takes] {v} dollars.
    """,
    vague="""
    {who} [spends some money on|pays something for|spends a few dollars on] {thing}.
    [Later|Then|After that], {who} spends [some money|a few dollars] on {thing}.
    [Some money|Some of the money] is spent on {thing}.
    {who} has to pay [something|some money] for {thing}.
    """,
    asks="""
    How much does {who} spend on {thing}?
    How many dollars does {who} pay for {thing}?
    How much money is spent on {thing}?
    """,
)

kind(
    "goal_price",
    "the price of the {item}",
    "dollars",
    says="""
    {who} wants [to buy|] {an_item} that costs {v} dollars.
    The {item} {who} [wants|would like] costs {v} dollars.
    {who} [is saving|saves] for {an_item} that costs {v} dollars.
    {who} would like to buy {an_item} for {v} dollars.
    {who} [needs|has to save] {v} dollars for {an_item}.
    The price of the {item} {who} [wants|would like] is {v} dollars.
    The {item} [in the shop|] has a price of {v} dollars.
    {an_item} that {who} [wants|would like] has a price of {v} dollars.
    In the shop, {who} sees {an_item} for {v} dollars.
    {who} wants {an_item}, and its price is {v} dollars.
    {an_item} costs {v} dollars[| in the shop], and {who} [wants|would like] one.
    In the shop, the {item} costs {v} dollars.
    """,
    vague="""
    {who} [wants to buy|wants|is saving for] {an_item}.
    {who} [is saving|saves] for {an_item}[| in the shop].
    {who} would like to buy {an_item}.
    {who} [wants|would like] to save for {an_item}.
    """,
    asks="""
    How much does the {item} cost?
    How many dollars does {who} need for the {item}?
    What does the {item} {who} wants cost?
    """,
)
