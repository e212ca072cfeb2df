"""The facts of the world: its people, animals, things, materials, goals and activities.

Most facts are assigned at random by seed, so no model knows them from other data. Every value of a relation
is assigned equally often, so that no answer can be guessed from its frequency.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

SEED = 42


def _words(text: str) -> list[str]:
    return text.split()


WOMEN = _words(
    "Ada Bea Cleo Dora Ella Fay Gwen Hana Ida June Kate Lena Mia Nell Olga Pia Rosa Sara Tess Vera"
)
MEN = _words("Abe Ben Carl Dan Emil Finn Gus Hugo Ivan Jack Leo Max Ned Otto Paul Ralf Sam Tom Udo Walt")
PEOPLE = WOMEN + MEN
CAST = WOMEN[:6] + MEN[:6]
"""The people of the reading tasks."""

ANIMALS = _words(
    "fox hare mole crow goat hen frog toad wasp moth cat dog pig cow mouse bat wolf bear deer seal "
    "sheep horse rat hawk lynx swan moose crab snail camel bee lizard newt shrew stork "
    "raven trout duck dove goose"
)
THINGS = _words(
    "cup bowl spoon plate box lamp chair table bench door clock mask kite drum cart boat sack belt ring doll "
    "vase pillow saddle basin pipe fork ladle mirror stool rug barrow kettle hat glove wheel tray flag "
    "sponge tent pin"
)

KEPT = THINGS[:20]
"""The things that are kept in a place, in the reading tasks."""

FOODS = _words(
    "nuts fish grass seeds roots leaves worms honey corn moss "
    "eggs bark hay milk bread clover cheese beans barley oats"
)
HOMES = _words(
    "barn cave marsh wood river meadow hill garden pond cellar "
    "reeds orchard ditch field loft cliff heath swamp thicket quarry"
)
COLOURS = _words(
    "red blue green white black brown grey yellow pink tan "
    "purple golden silver cream violet crimson ruby beige teal lilac"
)
FEARS = _words(
    "rain thunder fire snow wind smoke noise light fog frost "
    "darkness hail water dust heat drums bells shouts crowds shadows"
)
ROOMS = _words(
    "kitchen attic hall shed shop school mill tower chapel stable "
    "library bakery pantry cabin tavern forge porch lodge vault dairy"
)
TRADES = _words(
    "baker miller smith weaver farmer tailor potter cook monk doctor "
    "cooper tanner hunter judge nurse mason barber sailor painter porter"
)
FEELS = _words(
    "smooth rough cold warm soft hard heavy sticky dry wet "
    "slick fuzzy sharp greasy bumpy hollow brittle springy gritty silky"
)
FRUITS = _words(
    "apples pears plums cherries grapes figs lemons dates berries melons "
    "peaches quinces olives limes kiwis mangoes raisins currants papayas apricots"
)
PLACES = _words(
    "bridge church well market harbour forest gate fountain park castle "
    "inn abbey dam ferry arch palace square statue grove canal"
)
INSTRUMENTS = _words(
    "flute fiddle harp horn organ banjo piano bell lute trumpet "
    "viol cello gong zither tuba bugle cymbal oboe lyre rattle"
)
CONTAINERS = _words("chest basket bag drawer jar bucket cupboard barrel trunk crate")

MATERIALS = _words("wood cork paper wool iron copper tin stone glass clay ice wax rubber leather salt straw")
SHAPES = _words("ball block stick disc tile rod cube plug")


@dataclass(frozen=True)
class Relation:
    """One kind of fact: each of `entities` has one of `values`."""

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
    """Entity -> value of the relation `name`; each value is assigned to equally many entities."""
    relation = next(relation for relation in RELATIONS if relation.name == name)
    entities, values = list(relation.entities), list(relation.values)
    assert len(entities) % len(values) == 0, name
    rng = random.Random(f"{SEED} {name}")
    rng.shuffle(entities)
    return {entity: values[index % len(values)] for index, entity in enumerate(entities)}


# Outcomes of trials on materials: four outcomes of each trial, four materials for each outcome.
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
    "is hit with a hammer": {
        "it bends": "iron copper tin leather", "it cracks": "stone clay ice glass",
        "it goes flat": "wax paper straw salt", "it springs back": "rubber cork wood wool",
    },
    "is buried in the garden": {
        "it rots": "wood paper leather straw", "it turns dark": "iron copper tin cork",
        "it stays whole": "glass stone clay rubber", "it is soon gone": "ice salt wax wool",
    },
    "is thrown at the wall": {
        "it leaves a dent": "iron copper stone wood", "it bursts": "glass clay ice salt",
        "it drops softly": "paper straw wool cork", "it comes back": "rubber leather wax tin",
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


# Each goal has exactly one tool.
TOOLS: dict[str, str] = {
    "cut the bread": "knife", "chop the log": "axe", "dig a hole": "spade", "sweep the floor": "broom",
    "sew the shirt": "needle", "draw a map": "pen", "light the room": "candle", "open the lock": "key",
    "catch a fish": "net", "carry the water": "bucket", "boil the soup": "pot", "bake the pie": "oven",
    "dry the dishes": "towel", "card the wool": "comb", "drive the nail": "hammer", "tie the bundle": "rope",
    "reach the roof": "ladder", "cross the lake": "boat", "move the stones": "cart", "grind the corn": "mill",
    "measure the cloth": "ruler", "paint the wall": "brush", "mend the vase": "glue",
    "wash the shirt": "soap", "cool the room": "fan", "look at the stars": "lens", "wake the village": "bell",
    "weigh the flour": "scale", "warm the bed": "blanket", "call the dog": "whistle",
    "peel the carrot": "peeler", "cut the grass": "scythe", "split the plank": "saw",
    "mash the turnips": "fork", "hang the coat": "hook", "hold the papers": "clip",
    "stir the porridge": "spoon", "press the shirt": "iron", "sharpen the blade": "file",
    "mark the page": "ribbon", "tell the time": "clock", "feed the pigs": "trough",
    "catch the mouse": "trap", "shut the sack": "string", "shoot the arrow": "bow",
    "row the boat": "oar", "dust the shelf": "rag", "beat the eggs": "whisk",
    "roll the dough": "pin", "cross the snow": "sled", "lift the rock": "lever",
    "pull the tooth": "pliers", "fill the bottle": "funnel", "sort the beans": "sieve",
    "keep off the rain": "hood", "shade the eyes": "cap", "spin the yarn": "wheel",
    "scare the birds": "rattle", "carry the letters": "bag", "ride to town": "saddle",
}  # fmt: skip

# Five steps each, in order; a sentence is the subject followed by a step.
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
Making candles: melts the wax, hangs the wicks, dips each one, cools them in rows, trims the tips
Shearing sheep: pens the flock, ties the legs, clips the fleece, rolls the wool, lets it run
Grinding flour: opens the gate, starts the wheel, pours in the grain, sifts the meal, fills the sacks
Pressing cider: shakes the trees, crushes the fruit, turns the screw, catches the juice, corks the jugs
Mending a roof: props the ladder, pulls off the straw, cuts new bundles, pegs them down, sweeps the yard
Shoeing a horse: lights the forge, bends the iron, lifts the hoof, nails the shoe, smooths the edge
Digging a well: marks the spot, breaks the ground, hauls up mud, lines the shaft, lowers a pail
Weaving cloth: spins the yarn, strings the loom, throws the shuttle, beats the rows, cuts it free
Setting a table: spreads the sheet, lays the plates, folds the napkins, pours the wine, calls the guests
Cleaning a stove: rakes the ashes, scrubs the grate, blacks the doors, lays fresh wood, wipes the floor
Catching crabs: baits the pots, sinks them deep, waits for the tide, lifts the ropes, empties the catch
Felling a tree: picks the trunk, clears the brush, swings the axe, shouts a warning, strips the branches
"""
ACTIVITIES: dict[str, tuple[str, ...]] = {
    label: tuple(steps.split(", "))
    for label, steps in (line.split(": ") for line in _ACTIVITIES.strip().splitlines())
}

# A sentence about two people, a continuation about the first, a continuation about the second.
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

# Deeds of the reading tasks: the verb in the past tense, in its base form, and the possible objects.
DEEDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("saw", "see", tuple(ANIMALS[:10])),
    ("ate", "eat", tuple(FRUITS[:10])),
    ("went to", "go to", tuple(PLACES[:10])),
    ("found", "find", tuple(THINGS[:10])),
    ("met", "meet", tuple(TRADES[:10])),
    ("played", "play", tuple(INSTRUMENTS[:10])),
)
