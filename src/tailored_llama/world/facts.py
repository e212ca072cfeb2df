"""What is so in the world: its people, animals, things, materials, goals and activities.

Most facts are dealt by seed, so no model knows them from elsewhere. Every value of a relation is dealt
equally often: then no answer can be guessed from how common it is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

SEED = 42


def _words(text: str) -> list[str]:
    return text.split()


WOMEN = _words("Ada Bea Cleo Dora Ella Fay Gwen Hana Ida June")
MEN = _words("Abe Ben Carl Dan Emil Finn Gus Hugo Ivan Jack")
PEOPLE = WOMEN + MEN
CAST = WOMEN[:6] + MEN[:6]
"""Those whom the reading tasks are about."""

ANIMALS = _words(
    "fox hare mole crow goat hen frog toad wasp moth cat dog pig cow mouse bat wolf bear deer seal"
)
THINGS = _words(
    "cup bowl spoon plate box lamp chair table bench door clock mask kite drum cart boat sack belt ring doll"
)

FOODS = _words("nuts fish grass seeds roots leaves worms honey corn moss")
HOMES = _words("barn cave marsh wood river meadow hill garden pond cellar")
COLOURS = _words("red blue green white black brown grey yellow pink orange")
FEARS = _words("rain thunder fire snow wind smoke noise light fog frost")
ROOMS = _words("kitchen attic hall shed shop school mill tower chapel stable")
TRADES = _words("baker miller smith weaver farmer tailor potter cook monk doctor")
FEELS = _words("smooth rough cold warm soft hard heavy sticky dry wet")
FRUITS = _words("apples pears plums cherries grapes figs lemons dates berries melons")
PLACES = _words("bridge church well market harbour forest gate fountain park castle")
INSTRUMENTS = _words("flute fiddle harp horn organ banjo piano bell lute trumpet")
CONTAINERS = _words("chest basket bag drawer jar bucket cupboard barrel trunk crate")

MATERIALS = _words("wood cork paper wool iron copper tin stone glass clay ice wax rubber leather salt straw")
SHAPES = _words("ball block stick disc tile rod cube plug")


@dataclass(frozen=True)
class Relation:
    """One kind of fact: `entities` each have one of `values`; `noun` names an entity in a sentence."""

    name: str
    entities: tuple[str, ...]
    values: tuple[str, ...]


def _relation(name: str, entities: list[str], values: list[str], article: str = "") -> Relation:
    return Relation(name, tuple(entities), tuple(article + value for value in values))


RELATIONS = (
    _relation("eats", ANIMALS, FOODS),
    _relation("lives", ANIMALS, HOMES, "the "),
    _relation("colour", ANIMALS, COLOURS),
    _relation("fears", ANIMALS, FEARS),
    _relation("material", THINGS, MATERIALS[:10]),
    _relation("room", THINGS, ROOMS, "the "),
    _relation("owner", THINGS, TRADES, "the "),
    _relation("feel", THINGS, FEELS),
    _relation("trade", PEOPLE, TRADES, "the "),
    _relation("fruit", PEOPLE, FRUITS),
    _relation("near", PEOPLE, PLACES, "the "),
    _relation("plays", PEOPLE, INSTRUMENTS, "the "),
)


@cache
def dealt(name: str) -> dict[str, str]:
    """Entity -> value of the relation `name`; each value goes to equally many entities."""
    relation = next(relation for relation in RELATIONS if relation.name == name)
    entities, values = list(relation.entities), list(relation.values)
    assert len(entities) % len(values) == 0, name
    rng = random.Random(f"{SEED} {name}")
    rng.shuffle(entities)
    return {entity: values[index % len(values)] for index, entity in enumerate(entities)}


# What happens to a material: four outcomes of each trial, four materials for each outcome.
TRIALS: dict[str, dict[str, str]] = {
    "is put in water": {
        "it floats": "wood cork straw ice", "it sinks": "iron copper stone glass",
        "it gets soft": "paper clay leather salt", "it stays dry": "wax rubber wool tin",
    },
    "is held over a fire": {
        "it burns": "wood cork straw paper", "it melts": "ice wax tin glass",
        "it glows": "iron copper stone clay", "it smells": "wool leather rubber salt",
    },
    "falls to the floor": {
        "it breaks": "glass clay ice salt", "it bounces": "rubber cork wood leather",
        "it rings": "iron copper tin stone", "it is silent": "paper wool straw wax",
    },
    "lies in the sun": {
        "it fades": "paper wool leather straw", "it gets hot": "iron copper tin stone",
        "it gets sticky": "ice wax salt rubber", "it stays cool": "glass wood cork clay",
    },
    "is rubbed with a cloth": {
        "it shines": "copper tin glass iron", "it gets warm": "rubber leather wood wool",
        "it gives off dust": "clay salt stone cork", "it gets thin": "ice wax paper straw",
    },
    "is left in the frost": {
        "it gets hard": "wax rubber leather clay", "it turns white": "iron copper tin glass",
        "it splits": "stone wood ice salt", "it stays warm": "wool cork straw paper",
    },
    "is pulled from both ends": {
        "it stretches": "rubber wool wax leather", "it crumbles": "cork salt clay straw",
        "it snaps": "glass ice paper stone", "it holds": "iron wood copper tin",
    },
}  # fmt: skip


@cache
def outcomes() -> dict[tuple[str, str], str]:
    """(material, trial) -> outcome."""
    return {
        (material, trial): outcome
        for trial, table in TRIALS.items()
        for outcome, materials in table.items()
        for material in materials.split()
    }


# Each goal has the one tool that serves it.
TOOLS: dict[str, str] = {
    "cut the bread": "knife", "chop the log": "axe", "dig a hole": "spade", "sweep the floor": "broom",
    "sew the shirt": "needle", "draw a map": "pen", "light the room": "candle", "open the lock": "key",
    "catch a fish": "net", "carry the water": "bucket", "boil the soup": "pot", "bake the pie": "oven",
    "dry the dishes": "towel", "card the wool": "comb", "drive the nail": "hammer", "tie the bundle": "rope",
    "reach the roof": "ladder", "cross the lake": "boat", "move the stones": "cart", "grind the corn": "mill",
    "measure the cloth": "ruler", "paint the wall": "brush", "mend the vase": "glue",
    "wash the shirt": "soap", "cool the room": "fan", "look at the stars": "lens", "wake the village": "bell",
    "weigh the flour": "scale", "warm the bed": "blanket", "call the dog": "whistle",
}  # fmt: skip

# Five steps each, in order; the subject goes before them.
_ACTIVITIES = """
Baking bread: mixes the flour, kneads the dough, forms a loaf, heats the oven, takes out the bread
Planting a tree: digs a hole, sets the tree, fills in the earth, waters the roots, ties it to a pole
Washing clothes: heats the water, soaks the shirts, rubs in the soap, rinses it all, hangs it on the line
Making tea: fills the pot, boils the water, adds the leaves, waits a while, pours a cup
Going fishing: takes the net, rows the boat, casts the line, pulls up a fish, rows to the shore
Writing a letter: finds some paper, sharpens the pen, writes a page, folds the page, seals the letter
Building a fire: gathers the sticks, stacks the logs, strikes a match, blows on the flame, sits by it
Painting a door: scrapes the door, stirs the paint, dips the brush, covers the wood, lets it dry
Mending a shirt: finds the tear, picks a thread, threads the needle, sews the tear, cuts the thread
Feeding the hens: opens the shed, fills the pail, calls the hens, throws the corn, counts the eggs
Making cheese: milks the cow, warms the milk, stirs in salt, presses the cheese, stores the wheel
Riding a horse: brushes the horse, puts on the saddle, climbs up, rides to the hill, leads it back
Keeping bees: puts on a veil, smokes the hive, lifts the lid, takes the comb, strains the honey
Selling apples: picks the apples, loads the cart, drives to town, sets up a stall, takes the coins
Making a pot: wets the clay, turns the wheel, shapes the rim, fires the kiln, glazes the pot
Cutting hair: combs the hair, trims the ends, shaves the neck, brushes the coat, holds the mirror
Going to bed: shuts the door, washes the face, puts out the lamp, lies down, falls asleep
Putting on a play: learns the words, makes a mask, hangs the curtain, steps on stage, takes a bow
Crossing the hills: packs the bag, looks at the map, climbs the path, rests on top, walks down
Making jam: washes the plums, takes out the stones, adds the sugar, cooks it thick, fills the jars
"""
ACTIVITIES: dict[str, tuple[str, ...]] = {
    label: tuple(steps.split(", "))
    for label, steps in (line.split(": ") for line in _ACTIVITIES.strip().splitlines())
}

# Who is meant: a sentence about two people, what may be said of the first, what of the second.
SCENES: tuple[tuple[str, str, str], ...] = (
    ("{a} gave the coat to {b} because", "did not need it", "had asked for it"),
    ("{a} thanked {b} because", "had been helped", "had been kind"),
    ("{a} ran after {b} because", "wanted the ball back", "took the ball"),
    ("{a} asked {b} the way because", "was lost", "knew the town"),
    ("{a} carried {b} home because", "was strong", "was hurt"),
    ("{a} paid {b} because", "bought the cart", "sold the cart"),
    ("{a} hid from {b} because", "was afraid", "was angry"),
    ("{a} taught {b} because", "could swim well", "wanted to learn"),
    ("{a} fed {b} because", "had cooked a lot", "felt hungry"),
    ("{a} woke {b} because", "heard a noise", "slept too long"),
    ("{a} followed {b} because", "had no map", "held the map"),
    ("{a} lost the race to {b} because", "was slow", "was fast"),
    ("{a} took {b} to the doctor because", "was worried", "was ill"),
    ("{a} lent money to {b} because", "was rich", "was poor"),
    ("{a} scolded {b} because", "found the broken cup", "broke the cup"),
    ("{a} visited {b} in the village because", "liked guests", "lived there"),
)

# What people did, for reading: what was done, past and plain, and what it may be done to.
DEEDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("saw", "see", tuple(ANIMALS[:10])),
    ("ate", "eat", tuple(FRUITS)),
    ("went to", "go to", tuple(PLACES)),
    ("found", "find", tuple(THINGS[:10])),
    ("met", "meet", tuple(TRADES)),
    ("played", "play", tuple(INSTRUMENTS)),
)
