"""The six human-like behaviors (paper, section 3.3 and Table 1): how they look in a chain, and how
to find and count them.

The detector reads the text only; it needs no labels, so it serves chains that a policy wrote as
well as the writer's own.

Used in notebook 01, section 3.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from o1lib.policy.traces import values

# Behavior -> the words that open it. The order is that of the paper's Table 1.
BEHAVIORS = {
    "problem analysis": ("use",),
    "task decomposition": ("want",),
    "task completion": ("get", "so"),
    "alternative proposal": ("try", "keep", "join"),
    "self-evaluation": ("no", "yes", "dead"),
    "self-correction": ("wait",),
}
BEHAVIOR_OF = {word: name for name, words in BEHAVIORS.items() for word in words}

_LIST = re.compile(r"([0-9]+) ([0-9]+) get((?: [0-9]+)+)(?: (no|yes|wait|rest|:))?")
_TEST = re.compile(r"want((?: [0-9]+)+) :((?: [0-9]+ [0-9]+ get(?: [0-9]+)*(?: wait| no| yes)?)+)")
_ROW = re.compile(r"([0-9]+) ([0-9]+) get((?: [0-9]+)+) (no|yes)")


def count_behaviors(text: str) -> Counter:
    """How often each behavior is shown in a chain."""
    found = Counter({name: 0 for name in BEHAVIORS})
    for word in text.split():
        if word in BEHAVIOR_OF:
            found[BEHAVIOR_OF[word]] += 1
    return found


@dataclass(frozen=True)
class ChainCheck:
    """What the truth says of a chain's small steps: right lists of `lists`, right verdicts (`yes` /
    `no`) of `verdicts`.
    """

    lists: int
    right_lists: int
    verdicts: int
    right_verdicts: int
    yes: int
    right_yes: int


def check_chain(text: str) -> ChainCheck:
    """Hold every `x y get ...` and every verdict beside a `want` list against the truth.

    A list that ends in `yes` is cut at the hit, so any beginning of the true list counts as right
    there. A verdict is right when it agrees with the two lists *as they are written*: the equality
    test is judged apart from the arithmetic.
    """
    lists = right_lists = verdicts = right_verdicts = yes = right_yes = 0
    for x, y, shown, ending in _LIST.findall(text):
        if len(x) + len(y) > 12:
            continue
        truth, written = values(int(x), int(y)), [int(v) for v in shown.split()]
        if ending == "wait":
            continue
        lists += 1
        right_lists += written == truth or (ending == "yes" and written == truth[: len(written)])
    for wanted, tests in _TEST.findall(text):
        goals = set(wanted.split())
        for _, _, shown, verdict in _ROW.findall(tests):
            hit = bool(goals & set(shown.split()))
            verdicts += 1
            right_verdicts += hit == (verdict == "yes")
            yes += hit
            right_yes += hit and verdict == "yes"
    return ChainCheck(lists, right_lists, verdicts, right_verdicts, yes, right_yes)
