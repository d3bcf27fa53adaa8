"""The six human-like behaviors (paper, section 3.3 and Table 1): how they look in a chain, and how
to find and count them.

The detector reads the text only; it needs no labels, so it serves chains that a policy wrote as
well as the writer's own.

Used in notebook 01.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from o1lib.policy.lists import results_of
from o1lib.tasks.expression import exact_value

# Behavior -> the words that open it. The order is that of the paper's Table 1.
BEHAVIORS = {
    "problem analysis": ("use",),
    "task decomposition": ("want",),
    "task completion": ("get", "so"),
    "alternative proposal": ("try", "join"),
    "self-evaluation": ("no", "yes", "dead"),
    "self-correction": ("wait",),
}
BEHAVIOR_OF = {word: name for name, words in BEHAVIORS.items() for word in words}

_GOAL = re.compile(r"use(?: [0-9]+)+ for ([0-9]+)")
_LIST = re.compile(
    r"(?<!\S)(?<!want )([0-9]+) ([0-9]+) get((?: [0-9]+)+)(?: (no|yes|wait|rest|:))?"
)
_WANT = re.compile(r"want ([0-9]+) ([0-9]+) get((?: [0-9]+)+) :")
_TEST = re.compile(
    r"want(?: [0-9]+ [0-9]+ get)?((?: [0-9]+)+) :"
    r"((?: [0-9]+ [0-9]+ get(?: [0-9]+)*(?: wait| no| yes)?)+)"
)
_ROW = re.compile(r"([0-9]+) ([0-9]+) get((?: [0-9]+)*) (no|yes)")
_JOIN = re.compile(
    r"join ([0-9]+) ([0-9]+) get((?: [0-9]+)+) :((?: [0-9]+ [0-9]+ get(?: [0-9]+)* (?:no|yes))*)"
)
_STEP = re.compile(r"([0-9]+) ([-+*/]) ([0-9]+) = ([0-9]+)")
_FAILED = re.compile(r"(?<!\S)no(?!\S)")
_GAVE_UP = re.compile(r"(?<!\S)no so(?!\S)")
_DIGITS = 12  # longer numbers are nonsense, not worth computing with


def count_behaviors(text: str) -> Counter:
    """How often each behavior is shown in a chain. A `want` after a `no` is an alternative, too."""
    found = Counter({name: 0 for name in BEHAVIORS})
    for word in text.split():
        if word in BEHAVIOR_OF:
            found[BEHAVIOR_OF[word]] += 1
    found["alternative proposal"] += len(re.findall(r"(?<!\S)no want(?!\S)", text))
    return found


def persistence(texts: Iterable[str]) -> float:
    """How often chains of three numbers go on after an alternative that failed (`no`), rather than
    conclude; 1 where none failed.
    """
    failed = concluded = 0
    for text in texts:
        failed += len(_FAILED.findall(text))
        concluded += len(_GAVE_UP.findall(text))
    return 1 - concluded / failed if failed else 1.0


@dataclass(frozen=True)
class ChainCheck:
    """What the truth says of a chain's small claims: right lists of what two numbers give
    (`lists`), right lists of what is wanted (`wants`), right verdicts (`yes` / `no`), right `yes`
    of those that should be, right equations (`steps`).
    """

    lists: int = 0
    right_lists: int = 0
    wants: int = 0
    right_wants: int = 0
    verdicts: int = 0
    right_verdicts: int = 0
    yes: int = 0
    right_yes: int = 0
    steps: int = 0
    right_steps: int = 0


def check_chain(text: str) -> ChainCheck:
    """Hold every list (`x y get ...`, after `want` and in a `join` with the goal in front), every
    verdict and every equation `a - b = c` of a chain in the grammars `fan` and `blocks` against the
    truth.

    A list that ends in `yes` is cut at the hit, so any beginning of the true list counts as right
    there. A verdict is right when it agrees with the two lists *as they are written*: the equality
    test is judged apart from the arithmetic. `dead` is not judged: that takes the oracle.
    """
    found = Counter()

    def judge_list(kind: str, x: str, y: str, shown: str, cut: bool) -> None:
        if len(x) + len(y) <= _DIGITS:
            truth, written = results_of(int(x), int(y)), [int(v) for v in shown.split()]
            right = written == truth or (cut and written == truth[: len(written)])
            found.update({kind: 1, f"right_{kind}": right})

    def judge_verdict(one: str, other: str, verdict: str) -> None:
        hit, said = bool(set(one.split()) & set(other.split())), verdict == "yes"
        found.update(verdicts=1, right_verdicts=hit == said, yes=hit, right_yes=hit and said)

    goal = _GOAL.search(text)

    def judge_want(g: str, y: str, shown: str, cut: bool) -> None:
        if goal and g == goal[1]:
            judge_list("wants", g, y, shown, cut)
        else:  # another number than the goal
            found.update(wants=1)

    for c, d, others, tests in _JOIN.findall(text):
        judge_list("lists", c, d, others, False)
        for g, result, wanted, verdict in _ROW.findall(tests):
            judge_verdict(wanted, others, verdict)
            judge_want(g, result, wanted, verdict == "yes")
    for x, y, shown, ending in _LIST.findall(_JOIN.sub("", text)):
        if ending != "wait":
            judge_list("lists", x, y, shown, ending == "yes")
    for g, kept, wanted in _WANT.findall(text):
        judge_want(g, kept, wanted, False)
    for wanted, tests in _TEST.findall(text):
        for _, _, shown, verdict in _ROW.findall(tests):
            judge_verdict(wanted, shown, verdict)
    for a, op, b, r in _STEP.findall(text):
        if len(a) + len(b) <= _DIGITS:
            # A division by zero is no equation.
            right = (op, int(b)) != ("/", 0) and exact_value([int(a), int(b), op]) == int(r)
            found.update(steps=1, right_steps=right)
    return ChainCheck(**{name: int(count) for name, count in found.items()})
