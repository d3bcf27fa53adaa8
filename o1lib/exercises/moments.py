"""Exercises about what a chain does in the moment after a failure: does it go on, or give up?"""

from __future__ import annotations

import random
import re
from itertools import pairwise

from o1lib.exercises.check import Exercise, Mistake
from o1lib.policy import traces
from o1lib.tasks.countdown import Countdown, Problem

# --- the moment after a failure


def _chain(seed: int, give_up: float) -> tuple[Problem, list[traces.Piece]]:
    """A training puzzle of three numbers and its chain, by a writer who gives up that often."""
    rng, task = random.Random(seed), Countdown(3)
    while True:
        problem = task.train_problem(rng.getrandbits(48))
        pieces = traces.think(problem, rng, traces.Style(slip=0.0, give_up=give_up))
        if pieces is not None:
            return problem, pieces


def chains(n: int, give_up: float = 0.0) -> list[str]:
    """The text of n chains of a writer who gives up after a failure with this probability."""
    return [" ".join(text for text, _ in _chain(seed, give_up)[1]) for seed in range(n)]


def documents(n: int, planted: float = 0.0, example: bool = False) -> list[tuple[list, list]]:
    """Documents of a writer who never gives up, as (words, loss mask).

    Args:
        n: how many.
        planted: how often a failure is followed by a hasty conclusion, which the loss does not
            count, and by `wait`.
        example: whether the prompt also shows a chain that gave up.
    """
    found, shown = [], []
    if example:
        shown = [next(chain for chain in chains(20, give_up=1.0) if " no so " in chain)]
    for seed in range(n):
        problem, pieces = _chain(seed, 0.0)
        x, y = problem.numbers[:2]
        hasty = traces.so([traces.equation(x, y, x + y)])
        rng = random.Random(seed)
        prompt = " ".join([*shown, Countdown(3).prompt(problem)])
        parts = [(f"<bos> <user> {prompt} <assistant>", False)]
        for text, _ in pieces:
            parts.append((text, True))
            if text.split()[-1] == "no" and rng.random() < planted:
                parts += [(hasty, False), ("wait", True)]
        parts.append(("<eos>", True))
        found.append(
            (
                [word for text, _ in parts for word in text.split()],
                [int(counts) for text, counts in parts for _ in text.split()],
            )
        )
    return found


def _by_reading(text):
    """What stands after each `no`, found by patterns."""
    failed = len(re.findall(r"(?:^|(?<=\s))no(?=\s|$)", text))
    gave_up = len(re.findall(r"(?:^|(?<=\s))no(?=\s+so(?:\s|$))", text))
    return [failed - gave_up, gave_up]


def _pairs(after_no, ends=("",)):
    """Ask `after_no(next word)` behind each `no`: True gave up, False went on, None neither."""

    def count(text):
        words = [*text.split(), *ends]
        found = [after_no(b) for a, b in pairwise(words) if a == "no"]
        return [found.count(False), found.count(True)]

    return count


moments = Exercise(
    "moments",
    (
        ("no want no so",),
        ("no try no join no",),
        ("yes so",),
        ("no so no so",),
        ("now we know so another piano so",),
        ("no sofa no song",),
        ("dead try no dead",),
        ("",),
        *((chain,) for chain in chains(6, give_up=0.5)),
    ),
    _by_reading,
    (
        Mistake(
            "substrings",
            "you look for letters instead of words: `no` also stands in `now`, `know` and `piano`, "
            "and `no so` in `no sofa`. Split the text into words first.",
            (
                lambda text: [text.count("no") - text.count("no so"), text.count("no so")],
                lambda text: [text.count("no"), text.count("no so")],
                lambda text: [
                    text.split().count("no") - text.count("no so"),
                    text.count("no so"),
                ],
                lambda text: [text.count("no ") - text.count("no so"), text.count("no so")],
                lambda text: [
                    len(re.findall(r"\bno\b", text)) - len(re.findall(r"\bno so", text)),
                    len(re.findall(r"\bno so", text)),
                ],
            ),
        ),
        Mistake(
            "counted twice",
            "a `no so` is counted on both sides: it is a failure, but not one after which the "
            "chain went on.",
            (lambda text: [text.split().count("no"), _by_reading(text)[1]],),
        ),
        Mistake(
            "the last word is lost",
            "a chain that was cut off right after `no` has no next word, and you lose that moment. "
            "It did not give up: count it as going on.",
            (_pairs(lambda word: word == "so", ends=()),),
        ),
        Mistake(
            "exchanged",
            "the two numbers are exchanged: first how often it went on, then how often it gave up.",
            (lambda text: _by_reading(text)[::-1],),
        ),
        Mistake(
            "every conclusion",
            "you count every `so` as giving up. After a `yes` it is the right thing to say: only a "
            "`so` that stands directly behind a `no` gives up.",
            (
                lambda text: [text.split().count("no"), text.split().count("so")],
                lambda text: [
                    text.split().count("no") - text.split().count("so"),
                    text.split().count("so"),
                ],
                lambda text: [
                    max(0, text.split().count("no") - text.split().count("so")),
                    text.split().count("so"),
                ],
                lambda text: [_by_reading(text)[0], text.split().count("so")],
            ),
        ),
        Mistake(
            "only some ways on",
            "you count going on only if a new alternative opens at once. After a `no` a chain may "
            "also test the next pair, or say `dead`: all but `so` is going on.",
            (
                _pairs(lambda word: {"so": True, "want": False}.get(word)),
                _pairs(lambda word: {"so": True, "want": False, "try": False}.get(word)),
                _pairs(
                    lambda word: {"so": True, **dict.fromkeys(("want", "try", "join"), False)}.get(
                        word
                    )
                ),
            ),
        ),
        Mistake(
            "once a chain",
            "you say only *whether* it happens in the chain. Count every moment.",
            (lambda text: [min(1, count) for count in _by_reading(text)],),
        ),
        Mistake(
            "dead ends too",
            "you count `dead` as a failure of its own; it only sums up those that were counted.",
            (
                lambda text: [
                    _by_reading(text)[0] + text.split().count("dead"),
                    _by_reading(text)[1],
                ],
            ),
        ),
        Mistake(
            "a rate",
            "you give back a rate. Give back the two counts: rates of single chains cannot be "
            "averaged fairly, because chains have different numbers of failures.",
            (
                lambda text: _by_reading(text)[0] / (sum(_by_reading(text)) or 1),
                lambda text: 1 - _by_reading(text)[1] / (sum(_by_reading(text)) or 1),
                lambda text: _by_reading(text)[0] / sum(_by_reading(text)),
            ),
        ),
    ),
    "counts the right moments in fourteen texts, of which six are chains of the course's writer",
)

# --- the silent bug


def _what_counts(words, mask):
    """The words that the loss counts, without the others."""
    return _by_reading(" ".join(w for w, counts in zip(words, mask, strict=True) if counts))


def _at_the_no(words, mask):
    """The mask is asked at the `no` alone; the word behind it may be a planted one."""
    found = [
        b == "so"
        for a, b, counts in zip(words, [*words[1:], ""], mask, strict=True)
        if a == "no" and counts
    ]
    return [found.count(False), found.count(True)]


mended_moments = Exercise(
    "mended_moments",
    (
        ("<user> no so <assistant> no want yes so".split(), [0, 0, 0, 0, 1, 1, 1, 1]),
        ("<assistant> no so wait no want yes so".split(), [0, 1, 0, 1, 1, 1, 1, 1]),
        ("<assistant> no wait yes so".split(), [0, 0, 1, 1, 1]),
        ("<assistant> want no wait yes so".split(), [0, 1, 0, 1, 1, 1]),
        ("<assistant> no want no so".split(), [0, 1, 1, 1, 1]),
        *documents(4, planted=0.5),
        *documents(4, planted=0.5, example=True),
    ),
    _what_counts,
    (
        Mistake(
            "the bug is still there",
            "this is what the suspect says. It leaves the prompt out, but what else in a document "
            "did nobody want the policy to learn?",
            (lambda words, mask: _by_reading(" ".join(words[mask.index(1) :])),),
        ),
        Mistake(
            "everything counted",
            "you never use the mask: the words of the prompt and the planted ones are counted.",
            (lambda words, mask: _by_reading(" ".join(words)),),
        ),
        Mistake(
            "planted words counted",
            "you leave the prompt out, but a planted slip is counted: its mask is 0 as well.",
            (lambda words, mask: _by_reading(" ".join(words).partition("<assistant>")[2]),),
        ),
        Mistake(
            "the mask of one word only",
            "you ask the mask at the `no` but not at the word behind it: a planted `so` is not "
            "what the policy is taught to say. First drop every word that is not counted.",
            (_at_the_no,),
        ),
        Mistake(
            "turned around",
            "you count exactly the words that the loss leaves out: 1 means counted.",
            (lambda words, mask: _what_counts(words, [1 - counts for counts in mask]),),
        ),
        Mistake(
            "the planted documents skipped",
            "you skip documents with a planted slip altogether; the rest of them counts.",
            (
                lambda words, mask: (
                    [0, 0]
                    if 0 in mask[mask.index(1) :]
                    else _by_reading(" ".join(words[mask.index(1) :]))
                ),
            ),
        ),
    ),
    "counts what the policy is taught and nothing else, in thirteen documents with prompts and "
    "planted slips",
)
