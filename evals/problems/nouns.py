"""Things that problems count, in groups, so that what is bought, baked or planted makes sense."""

from __future__ import annotations

from dataclasses import dataclass

_IRREGULAR = {
    "knife": "knives", "loaf": "loaves", "shelf": "shelves", "scarf": "scarves", "leaf": "leaves", "potato": "potatoes",
    "tomato": "tomatoes", "mango": "mangoes", "child": "children", "radish": "radishes", "peach": "peaches",
    "class": "classes", "quiz": "quizzes", "sheep": "sheep", "goose": "geese", "mouse": "mice", "person": "people",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Noun:
    """A countable thing; a measure such as "litre of juice" counts too."""

    one: str
    many: str

    @property
    def with_article(self) -> str:
        vowel = self.one[0] in "aeio" or self.one == "hour"
        return f"{'an' if vowel else 'a'} {self.one}"


def _plural(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def noun(text: str) -> Noun:
    """A noun from its singular: "pen", "tin of paint" (the first word before "of" is what becomes plural)."""
    head, of, rest = text.partition(" of ")
    stem, space, last = head.rpartition(" ")
    return Noun(text, f"{stem}{space}{_plural(last)}{of}{rest}")


def _group(block: str) -> tuple[Noun, ...]:
    return tuple(noun(word.strip()) for word in block.replace("\n", ",").split(",") if word.strip())


STATIONERY = _group(
    "pen, pencil, ruler, notebook, eraser, marker, crayon, folder, stapler, envelope, brush, diary, card, book, "
    "sharpener, binder, poster, calendar, stamp, paint set, notepad"
)
FRUIT = _group(
    "apple, pear, orange, banana, peach, plum, lemon, mango, melon, kiwi, lime, fig, apricot, pineapple, coconut, "
    "papaya, grapefruit, nectarine"
)
VEGETABLES = _group(
    "carrot, onion, potato, tomato, cucumber, pepper, cabbage, lettuce, pumpkin, radish, leek, turnip, "
    "beetroot, squash, artichoke, aubergine"
)
TOYS = _group(
    "ball, doll, kite, puzzle, robot, toy car, toy train, yo-yo, teddy bear, drum, whistle, puppet, spinning top, "
    "board game, balloon, skipping rope, toy boat, marble, dinosaur, rocket"
)
CLOTHES = _group(
    "shirt, hat, scarf, jacket, sock, belt, glove, dress, skirt, sweater, cap, tie, coat, vest, blouse, hoodie, "
    "T-shirt, apron, cardigan, raincoat"
)
KITCHEN = _group(
    "cup, plate, bowl, spoon, fork, knife, pan, pot, mug, glass, tray, jar, kettle, teapot, napkin, towel, dish, "
    "saucer, jug, basket"
)
FOOD = _group(
    "sandwich, muffin, bun, bagel, pie, burger, salad, pizza, pretzel, waffle, cookie, doughnut, roll, yoghurt, "
    "snack bar, pancake, hot dog, wrap, taco, sausage"
)
FLOWERS = _group(
    "rose, tulip, daisy, lily, sunflower, orchid, daffodil, violet, poppy, carnation, pansy, lavender bush, "
    "fern, cactus plant"
)
TOOLS = _group(
    "hammer, nail, screw, saw, drill, wrench, bucket, ladder, lamp, bulb, battery, candle, rope, torch, shovel, "
    "rake, brick, tile, plank, key"
)
SPORTS = _group(
    "racket, bat, helmet, football, basketball, medal, trophy, tennis ball, net, skateboard, water bottle, "
    "sports bag, towel, jersey, whistle"
)
COLLECTABLES = _group(
    "sticker, stamp, coin, card, marble, shell, badge, postcard, comic, button, pebble, key ring, model car, "
    "bead, photo, toy soldier, magnet, ribbon, feather, fossil"
)
GOODS = (STATIONERY, FRUIT, VEGETABLES, TOYS, CLOTHES, KITCHEN, FOOD, FLOWERS, TOOLS, SPORTS)

CONTAINERS = _group("box, bag, crate, carton, basket, case, packet, bin, sack, tray, tub, pack, chest, bundle")
PLANTS = _group(
    "tomato plant, rose bush, apple tree, pepper plant, bean plant, lettuce, cabbage, sunflower, tulip, pear tree, "
    "strawberry plant, pumpkin plant, lemon tree, berry bush, carrot, onion, plum tree, herb, cherry tree, melon plant"
)
CROPS = {
    "tomato plant": "tomato", "apple tree": "apple", "pepper plant": "pepper", "pear tree": "pear",
    "strawberry plant": "strawberry", "pumpkin plant": "pumpkin", "plum tree": "plum", "rose bush": "rose",
    "cherry tree": "cherry", "melon plant": "melon", "bean plant": "bean", "berry bush": "berry",
    "lemon tree": "lemon",
}  # fmt: skip
DISHES = _group(
    "cake, pie, pizza, loaf, pudding, tart, omelette, pancake stack, salad, soup, stew, lasagne, trifle, quiche, "
    "muffin tray, flan, casserole, curry, brownie tray, pasta bake"
)
INGREDIENTS = _group(
    "egg, cup of flour, cup of sugar, spoon of butter, spoon of oil, cup of milk, onion, tomato, carrot, apple, "
    "spoon of salt, cup of rice, potato, pepper, mushroom, lemon, slice of cheese, cup of water, "
    "spoon of honey, clove of garlic, cup of cream, piece of chocolate"
)
DRINKS = (
    "juice",
    "lemonade",
    "water",
    "milk",
    "tea",
    "apple juice",
    "orange juice",
    "cider",
    "soup",
    "punch",
    "iced tea",
    "grape juice",
    "cocoa",
    "coffee",
    "syrup",
    "mango juice",
)
FUELS = ("fuel", "petrol", "diesel", "oil", "paint")
JUICES = (
    "juice",
    "lemonade",
    "apple juice",
    "orange juice",
    "grape juice",
    "mango juice",
    "syrup",
    "iced tea",
    "cherry juice",
    "pear juice",
    "cider",
    "berry juice",
)
VESSELS = _group("jug, bottle, can, barrel, tank, flask, bucket, pot, carton, pitcher, keg, jar")
SHIPS = _group("truck, van, ship, cart, train, lorry, trailer, plane")
VEHICLES = ("bus", "train", "car", "bike", "boat", "tram", "scooter", "van", "ferry", "truck", "taxi", "motorbike")
BOOKS = (
    "novel",
    "book",
    "comic",
    "story",
    "textbook",
    "cookbook",
    "magazine",
    "guide",
    "diary",
    "biography",
    "thriller",
    "poetry book",
    "fairy tale",
)
TASKS = _group(
    "lesson, meeting, workout, song, chapter, phone call, interview, class, game, walk, swim, match, quiz, film, "
    "rehearsal, lecture, dance, test, exercise, puzzle, speech, show, drawing, poem, essay"
)
WISHES = _group(
    "bike, guitar, tablet, phone, camera, drum kit, coat, tent, skateboard, watch, scooter, keyboard, telescope, "
    "game console, violin, desk, sofa, printer, radio, laptop, sewing machine, surfboard, microscope, canoe"
)
PRODUCTS = STATIONERY + TOYS + CLOTHES + KITCHEN + TOOLS + SPORTS
PARTS_OF_SCHOOL = _group("class, club, team, bus, room, group, van")
PUPILS = _group("pupil, student, child, girl, boy")
LITRE_OF_FUEL = (
    Noun("litre of fuel", "litres of fuel"),
    Noun("litre of petrol", "litres of petrol"),
    Noun("litre of diesel", "litres of diesel"),
)
ALBUMS = _group("album, box, drawer, page, shelf, tin, bag, folder")
