"""A very small language beside the puzzles: grammar, facts and logic, so that pre-training has
something to show.

Everything is generated from the word lists of the tokenizer. Facts are fixed by a hash of their
subject, so that they can be asked in a form in which they were never stated.
"""

from __future__ import annotations

import random
import zlib

from o1lib.policy.documents import Document

NAMES = ["anna", "ben", "carl", "dora", "emil", "fay", "gus", "hana"]
ANIMALS = ["cat", "dog", "bird", "horse", "child"]
PLURAL = {"cat": "cats", "dog": "dogs", "bird": "birds", "horse": "horses", "child": "children"}
ADJECTIVES = ["big", "small", "red", "green", "blue", "old", "young"]
VERBS = {"runs": "run", "sleeps": "sleep", "sings": "sing"}
FACTS = {
    "lives in": ["house", "tree", "river", "hill", "sea"],
    "eats": ["fish", "grass", "bread", "milk", "fruit"],
}
_TRANSITIVE = {"sees": "see", "likes": "like"}


def sentence(rng: random.Random) -> str:
    """A sentence whose verb agrees with its subject, across a distracting noun in between."""
    noun, other = rng.sample(ANIMALS, 2)
    plural = rng.random() < 0.5
    subject = f"the {rng.choice(ADJECTIVES)} {PLURAL[noun] if plural else noun}"
    if rng.random() < 0.5:
        subject += f" near the {rng.choice((other, PLURAL[other]))}"
    if rng.random() < 0.5:
        verb = rng.choice(list(VERBS))
        return f"{subject} {VERBS[verb] if plural else verb} ."
    verb = rng.choice(list(_TRANSITIVE))
    seen = f"the {rng.choice(ADJECTIVES)} {rng.choice(ANIMALS)}"
    return f"{subject} {_TRANSITIVE[verb] if plural else verb} {seen} ."


def fact(name: str, relation: str) -> str:
    """The one true object of a name and a relation, e.g. where anna lives."""
    objects = FACTS[relation]
    return objects[zlib.crc32(f"{name} {relation}".encode()) % len(objects)]


def fact_sentence(rng: random.Random) -> str:
    name, relation = rng.choice(NAMES), rng.choice(list(FACTS))
    thing = fact(name, relation)
    if relation == "eats":
        forms = (
            f"{name} eats {thing} .",
            f"what eats {name} ? {thing} .",
            f"{thing} is what {name} eats .",
        )
    else:
        forms = (
            f"{name} lives in the {thing} .",
            f"where lives {name} ? {thing} .",
            f"the {thing} is where {name} lives .",
        )
    return rng.choice(forms)


def logic_sentence(rng: random.Random) -> str:
    """A comparison, a parity, or a syllogism with its truth."""
    kind = rng.randrange(3)
    if kind == 0:
        x, y = rng.randint(1, 99), rng.randint(1, 99)
        word = rng.choice(("more", "less"))
        truth = x > y if word == "more" else x < y
        return f"{x} is {word} than {y} ? {'true' if truth else 'false'} ."
    if kind == 1:
        x = rng.randint(1, 99)
        return f"{x} is {'odd' if x % 2 else 'even'} ."
    animal, adjective, name = rng.choice(ANIMALS), rng.choice(ADJECTIVES), rng.choice(NAMES)
    asked = adjective if rng.random() < 0.5 else rng.choice(ADJECTIVES)
    truth = "true" if asked == adjective else "false"
    premises = f"all {PLURAL[animal]} are {adjective} . {name} is a {animal} ."
    return f"{premises} therefore {name} is {asked} ? {truth} ."


def _several(make, rng: random.Random, n: int = 8):
    return Document(None, [(" ".join(make(rng) for _ in range(n)), True)])


def grammar(rng: random.Random):
    """Pre-training part: sentences (paper: language understanding and generation)."""
    return _several(sentence, rng)


def facts(rng: random.Random):
    """Pre-training part: facts (paper: world knowledge)."""
    return _several(fact_sentence, rng)


def logic(rng: random.Random):
    """Pre-training part: logic and comparison (paper: basic reasoning)."""
    return _several(logic_sentence, rng)
