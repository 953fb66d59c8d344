"""How much somebody does in each day, week or hour, and for how many of them; speeds and times of travel."""

from evals.problems.kinds import kind

kind(
    "per_period",
    "the number of {items} {who} {acts} each {period}",
    "{items}",
    says="""
    {who} [always|] {acts} {v} {items} [each {period}|every {period}|{a_period}|per {period}].
    [Each|Every] {period}, {who} {acts} {v} {items}.
    {who} [manages|plans] to {act} {v} {items} [each {period}|every {period}|{a_period}|per {period}].
    {who} {acts} {v} {items} in [{a_period}|each {period}|every {period}|one {period}].
    In [each {period}|one {period}|{a_period}|every {period}], {who} {acts} {v} {items}.
    The number of {items} {who} {acts} [each|every|per] {period} is {v}.
    {who's} plan is to {act} {v} {items} [each {period}|every {period}|{a_period}|per {period}].
    [Each|Every] {period}, {who's} plan is to {act} {v} {items}.
    {who} is able to {act} {v} {items} [each {period}|every {period}|{a_period}|per {period}].
    """,
    vague="""
    {who} {acts} [some|several|a few] {items} [each|every] {period}.
    [Each|Every] {period}, {who} {acts} the same number of {items}.
    {who} {acts} the same number of {items} [each|every] {period}.
    [Each|Every] {period}, {who} {acts} [some|several|a few] {items}.
    {who's} plan is to {act} [some|several|a few] {items} [each|every] {period}.
    """,
    asks="""
    How many {items} does {who} {act} [each {period}|every {period}|{a_period}|per {period}]?
    How many {items} does {who} {act} in [{a_period}|one {period}]?
    How many {items} {a_period} is it for {who}?
    """,
)

kind(
    "periods",
    "the number of {periods} {who} {acts}",
    "{periods}",
    says="""
    {who} {acts} for {v} {periods}[| in all| in total].
    {who} {acts} [like this|this way] for {v} {periods}.
    The number of {periods} {who} {acts} is {v}.
    For {v} {periods}, {who} {acts} [like this|this way].
    {who} [plans|decides] to {act} for {v} {periods}[| in all| in total].
    {who} [keeps|goes on] {acting} for {v} {periods}.
    {who} spends {v} {periods} {acting}.
    For {v} {periods}, {who} [keeps|goes on] {acting}.
    In all, {who} {acts} for {v} {periods}.
    {who} has {v} {periods} of {acting}.
    """,
    vague="""
    {who} {acts} for [some|several|a few] {periods}.
    {who} [keeps|goes on] {acting} for [some|several|a few] {periods}.
    {who} [plans|decides] to {act} for [some|several|a few|a number of] {periods}.
    {who} {acts} for [some time|a while].
    For [some|several|a few] {periods}, {who} [keeps|goes on] {acting}.
    """,
    asks="""
    How many {periods} does {who} {act}?
    For how many {periods} does {who} {act}?
    How many {periods} does {who} [go on|keep going]?
    """,
)

kind(
    "speed",
    "the speed of the {vehicle}",
    "km per hour",
    says="""
    The {vehicle} [goes|travels|moves] at {v} km per hour.
    The speed of the {vehicle} is {v} km per hour.
    The {vehicle} has a [steady|] speed of {v} km per hour.
    The {vehicle} [travels|goes|moves] {v} km [each|every|an|in one] hour.
    [Each|Every] hour, the {vehicle} [goes|travels|covers] {v} km.
    The {vehicle} [covers|does] {v} km [per|an|each|every] hour.
    {who's} {vehicle} [goes|travels|moves] at {v} km per hour.
    In [one|each|an] hour, the {vehicle} [goes|covers|travels] {v} km.
    The {vehicle} moves at a [steady|] speed of {v} km per hour.
    """,
    vague="""
    The {vehicle} [goes|travels|moves] at a steady speed.
    The speed of the {vehicle} [stays the same|is steady].
    The {vehicle} [goes|travels] at the same speed [all the time|all the way].
    The {vehicle} has a steady speed[| all the way].
    """,
    asks="""
    How fast does the {vehicle} [go|travel|move]?
    How fast is the {vehicle}?
    How many km does the {vehicle} go in [one|an] hour?
    """,
)

kind(
    "ride_hours",
    "the time {who} travels by {vehicle}",
    "hours",
    says="""
    {who} travels by {vehicle} for {v} hours[| in all].
    {who} [goes|rides] by {vehicle} for {v} hours.
    {who} [spends|is] {v} hours on the [way|road|trip] by {vehicle}.
    For {v} hours, {who} [travels|goes|rides] by {vehicle}.
    The trip by {vehicle} takes [{who}|] {v} hours.
    By {vehicle}, {who} travels for {v} hours[| in all].
    The time {who} travels by {vehicle} is {v} hours.
    By {vehicle}, the trip takes {who} {v} hours.
    {who} has a trip of {v} hours by {vehicle}.
    {who} [takes|uses] the {vehicle} for {v} hours[| in all].
    The trip of {who} by {vehicle} is {v} hours long.
    """,
    vague="""
    {who} travels by {vehicle} for [some time|a while|a few hours|several hours].
    {who} [goes|rides] by {vehicle} for [some time|a while|several hours].
    The trip by {vehicle} takes [some time|a while|a few hours|several hours].
    By {vehicle}, the trip takes [a while|some time|several hours].
    """,
    asks="""
    How long does {who} travel by {vehicle}?
    How many hours does {who} travel by {vehicle}?
    How many hours does the trip by {vehicle} take?
    """,
)

kind(
    "distance",
    "the length of the {route}",
    "km",
    says="""
    The {route} is {v} km [long|in all|in total].
    The length of [the|{who's}] {route} is {v} km.
    {who's} {route} is {v} km long[| in all].
    It is a {route} of {v} km[| in all].
    {who} [plans|has|is on] a {route} of {v} km.
    The {route} [covers|has a length of] {v} km.
    [In all|In total|Altogether], the {route} is {v} km long.
    [In all|In total|Altogether], {who's} {route} covers {v} km.
    From start to end, the {route} is {v} km[| long].
    {who} goes on a {route} of {v} km.
    There are {v} km from the start to the end of the {route}.
    """,
    vague="""
    {who} [plans|is on] a [long|] {route}.
    The {route} is [long|rather long|quite long].
    It is [a long|quite a long|rather a long] {route}.
    {who's} {route} is [quite|rather] long.
    """,
    asks="""
    How long is the {route}?
    How many km is the {route}?
    How far does the {route} go?
    """,
)
