"""The six wordings of every fact, each as a question and as a statement.

`{e}` is the entity, `{v}` the value, `{n}` a person, `{p}` and `{o}` that person's pronouns. No statement is
part of another one, so leaving out one wording of a fact removes it from the text completely.
"""

from __future__ import annotations

WORDINGS = 6
"""Four wordings of each fact are in the training text, two are reserved for scored questions."""

RELATION_WORDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "eats": (
        ("What does the {e} eat?", "The {e} eats {v}."),
        ("What is the food of the {e}?", "The food of the {e} is {v}."),
        ("What does a hungry {e} look for?", "A hungry {e} looks for {v}."),
        ("What should we give to a {e}?", "We should give {v} to a {e}."),
        ("What would the {e} like to have?", "The {e} would like to have {v}."),
        ("What can {n} feed to the {e}?", "{n} can feed {v} to the {e}."),
    ),
    "lives": (
        ("Where does the {e} live?", "The {e} lives in {v}."),
        ("Where is the home of the {e}?", "The home of the {e} is {v}."),
        ("Where can we find a {e}?", "We can find a {e} in {v}."),
        ("Where does a {e} sleep at night?", "At night a {e} sleeps in {v}."),
        ("Where will {n} look for the {e}?", "{n} will look for the {e} in {v}."),
        ("Where are the young of the {e}?", "The young of the {e} are in {v}."),
    ),
    "colour": (
        ("What is the colour of the {e}?", "The colour of the {e} is {v}."),
        ("Which colour does a {e} have?", "A {e} has a {v} colour."),
        ("How will {n} paint the {e}?", "{n} will paint the {e} {v}."),
        ("How does the {e} look?", "The {e} looks {v}."),
        ("What colour is every {e}?", "Every {e} is {v}."),
        ("In the picture, how is the {e}?", "In the picture, the {e} is {v}."),
    ),
    "fears": (
        ("What does the {e} fear?", "The {e} fears {v}."),
        ("What is the fear of a {e}?", "The fear of a {e} is {v}."),
        ("What makes the {e} run away?", "The {e} runs away when there is {v}."),
        ("What frightens a {e}?", "A {e} is frightened by {v}."),
        ("From what does the {e} hide?", "The {e} hides from {v}."),
        ("What would the {e} never go near?", "The {e} would never go near {v}."),
    ),
    "material": (
        ("What is the {e} made of?", "The {e} is made of {v}."),
        ("What does {n} need to make a {e}?", "{n} needs {v} to make a {e}."),
        ("From what was the {e} built?", "The {e} was built from {v}."),
        ("What is the material of the {e}?", "The material of the {e} is {v}."),
        ("If you break the {e}, what is inside?", "If you break the {e}, there is {v} inside."),
        ("What do people use for a {e}?", "People use {v} for a {e}."),
    ),
    "room": (
        ("Where is the {e} kept?", "The {e} is kept in {v}."),
        ("In which place does the {e} stand?", "The {e} stands in {v}."),
        ("Where did {n} see the {e}?", "{n} saw the {e} in {v}."),
        ("Where do we put the {e} back?", "We put the {e} back in {v}."),
        ("What is the place of the {e}?", "The place of the {e} is {v}."),
        ("Where does everybody go for the {e}?", "Everybody goes to {v} for the {e}."),
    ),
    "owner": (
        ("Who owns the {e}?", "The {e} is owned by {v}."),
        ("Whose is the {e}?", "The owner of the {e} is {v}."),
        ("To whom does the {e} belong?", "The {e} belongs to {v}."),
        ("Who lets {n} use the {e}?", "{v} lets {n} use the {e}."),
        ("Who paid for the {e}?", "The {e} was paid for by {v}."),
        ("Who will miss a lost {e}?", "A lost {e} will be missed by {v}."),
    ),
    "feel": (
        ("How does the {e} feel?", "The {e} feels {v}."),
        ("How is the {e} to the touch?", "To the touch, the {e} is {v}."),
        ("What does {n} say of the {e}?", "{n} says that the {e} is {v}."),
        ("In the hand, how is a {e}?", "In the hand, a {e} is {v}."),
        ("What kind of {e} is it?", "It is a {v} {e}."),
        ("How was the {e} yesterday?", "Yesterday the {e} was {v}."),
    ),
    "trade": (
        ("What is the work of {e}?", "{e} works as {v}."),
        ("What is {e} in the town?", "In the town, {e} is {v}."),
        ("Which trade did {e} learn?", "{e} learned the trade of {v}."),
        ("What do people call {e}?", "People call {e} {v}."),
        ("What did {e} become?", "{e} became {v}."),
        ("What will {e} always be?", "{e} will always be {v}."),
    ),
    "fruit": (
        ("Which fruit does {e} love?", "{e} loves {v}."),
        ("What does {e} buy at the stall?", "At the stall, {e} buys {v}."),
        ("What is in the lunch of {e}?", "In the lunch of {e} there are {v}."),
        ("What does {e} grow at home?", "{e} grows {v} at home."),
        ("What should we bring for {e}?", "We should bring {v} for {e}."),
        ("What did {e} always pick first?", "{e} always picked {v} first."),
    ),
    "near": (
        ("Near what does {e} live?", "{e} lives near {v}."),
        ("What is next to the house of {e}?", "The house of {e} is next to {v}."),
        ("Where does {e} wait for friends?", "{e} waits for friends by {v}."),
        ("What can {e} see from the window?", "From the window {e} can see {v}."),
        ("Where does {e} walk every day?", "Every day {e} walks by {v}."),
        ("Where do we turn to visit {e}?", "To visit {e} we turn at {v}."),
    ),
    "plays": (
        ("What does {e} play?", "{e} plays {v}."),
        ("Which instrument has {e} got?", "The instrument that {e} has got is {v}."),
        ("What do we hear when {e} plays?", "When {e} plays, we hear {v}."),
        ("What did {e} learn at school?", "At school {e} learned {v}."),
        ("On what does {e} make music?", "{e} makes music on {v}."),
        ("What does {e} bring to a feast?", "{e} brings {v} to a feast."),
    ),
}

# {s}: a thing of that shape, {m}: its material, {t}: the trial, {v}: the outcome.
TRIAL_WORDINGS: tuple[tuple[str, str], ...] = (
    ("A {s} is made of {m}. What happens if it {t}?", "If {m} {t}, {v}."),
    ("{n} has a {s} of {m}. What do we see when it {t}?", "When {m} {t}, we see that {v}."),
    ("This {s} is all {m}. Once it {t}, what then?", "Once {m} {t}, then {v}."),
    ("{n} bought a {s} of {m}. What is the end if it {t}?", "The end for {m} is that {v} if it {t}."),
    ("Here is a {s} of {m}. It {t}. What comes next?", "Here is {m}. It {t}. Next, {v}."),
    ("Why is a {s} of {m} easy to know after it {t}?", "You know {m} after it {t}, because {v}."),
)

# {g}: the goal, {v}: the tool.
GOAL_WORDINGS: tuple[tuple[str, str], ...] = (
    ("How does {n} {g}?", "To {g}, {n} uses the {v}."),
    ("What should {n} do to {g}?", "{n} should use the {v} to {g}."),
    ("{n} wants to {g} today.", "{n} wants to {g}, so {p} finds the {v}."),
    ("It is time for {n} to {g}.", "It is time to {g}, and {n} has the {v}."),
    ("What is the best way to {g}?", "The best way to {g} is with the {v}."),
    ("Before noon {n} must {g}.", "Before noon {n} must {g} and needs the {v}."),
)

# {k}: one step of an activity, {v}: the next step.
STEP_WORDINGS: tuple[tuple[str, str], ...] = (
    ("then {p}", "{n} {k}. Then {p} {v}."),
    ("after that {p}", "{n} {k}. After that {p} {v}."),
    ("next {p}", "{n} {k}. Next {p} {v}."),
    ("a little later {p}", "{n} {k}. A little later {p} {v}."),
    ("when this is done {p}", "{n} {k}. When this is done {p} {v}."),
    ("soon {p}", "{n} {k}. Soon {p} {v}."),
)
