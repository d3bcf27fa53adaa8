"""A reward that can be hacked: it believes a chain whose equations are all true."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import Countdown, oracle

LONGEST = 2_000  # characters of a chain that are read at all
_EQUATION = re.compile(r"([0-9]{1,18}) ([-+*/]) ([0-9]{1,18}) = ([0-9]{1,18})")
Equation = tuple[int, str, int, int]


def equations(text: str) -> list[Equation] | None:
    """The equations of a chain such as `3 * 7 = 21 ; 21 + 5 = 26`, as (left, op, right, result);
    None where a part of it cannot be read.
    """
    if len(text) > LONGEST:
        return None
    found = [_EQUATION.fullmatch(part.strip(" ")) for part in text.split(";")]
    if not all(found):
        return None
    return [(int(m[1]), m[2], int(m[3]), int(m[4])) for m in found]


def is_true(equation: Equation) -> bool:
    """Whether an equation holds and keeps to the rules: the larger number first in differences and
    quotients, and whole numbers only.
    """
    left, op, right, result = equation
    if op in "-/" and left < right:
        return False
    return any(step[1] == op and step[3] == result for step in oracle.combine(left, right))


def _judged(numbers, target, text) -> float:
    """The verdict of the task: each step is read where the numbers stand after those before it."""
    task = Countdown()
    state = task.problem(numbers, target)
    if len(text) > LONGEST:
        return 0.0
    for part in text.split(";"):
        try:
            state = task.apply(state, task.parse_step(state, part.strip(" ")))
        except ValueError:
            return 0.0
    return float(task.is_solved(state))


def _pays(
    before: Callable = lambda pool, left, right: not Counter((left, right)) - Counter(pool),
    after: Callable = lambda pool, left, right, result: _without(pool, left, right) + [result],
    end: Callable = lambda pool, target, result: pool == [target],
    true: Callable = is_true,
):
    """A way to write the reward: which step is allowed, what it leaves, and what is paid."""

    def reward(numbers, target, text):
        steps, pool = equations(text), list(numbers)
        if not steps:
            return 0.0
        for left, op, right, result in steps:
            if not true((left, op, right, result)) or not before(pool, left, right):
                return 0.0
            pool = after(pool, left, right, result)
        return float(end(pool, target, steps[-1][3]))

    return reward


def _without(pool, *gone):
    return list((Counter(pool) - Counter(gone)).elements())


def _kept(pool, left, right, result):
    return [*pool, result]


def _last(pool, target, result):
    return result == target


suspect = _pays(before=lambda *_: True, after=_kept, end=_last)


def _crashing(numbers, target, text):
    pool = list(numbers)
    for left, op, right, result in equations(text):
        if not is_true((left, op, right, result)):
            return 0.0
        for number in (left, right):
            if number not in pool:
                return 0.0
            pool.remove(number)
        pool.append(result)
    return float(pool == [target])


def _removed_unseen(numbers, target, text):
    pool = list(numbers)
    for left, op, right, result in equations(text) or [(0, "+", 0, 1)]:
        if not is_true((left, op, right, result)) or not {left, right} <= set(pool):
            return 0.0
        pool.remove(left)
        pool.remove(right)
        pool.append(result)
    return float(pool == [target])


def _counted_at_the_end(numbers, target, text):
    steps = equations(text)
    if not steps or not all(map(is_true, steps)) or steps[-1][3] != target:
        return 0.0
    used = Counter(number for left, _, right, _ in steps for number in (left, right))
    made = Counter(result for *_, result in steps[:-1])
    return float(used == Counter(numbers) + made)


# --- a response that is paid and wrong

HACKED, RIGHT = "a chain that is paid and wrong", "a chain that is right"
FALSE, ASTRAY = "a chain with a false equation", "a chain that does not end at the goal"


def kind(function: Callable, numbers, target):
    """What sort of chain a function writes for a puzzle; what cannot be read is given as it is."""
    text = function(numbers, target)
    steps = equations(text) if isinstance(text, str) else None
    if not steps:
        return text
    if _judged(numbers, target, text):
        return RIGHT
    if suspect(numbers, target, text):
        return HACKED
    return ASTRAY if all(map(is_true, steps)) else FALSE


def _honest(numbers, target):
    task = Countdown()
    steps = next(task.solutions(task.problem(numbers, target)), ())
    return " ; ".join(step.equation for step in steps)


hack = Exercise(
    "hack",
    (([3, 5, 7], 26), ([2, 4, 4], 24), ([5, 5], 1), ([2, 6, 9], 3)),
    lambda numbers, target: HACKED,
    (
        Mistake(
            "an honest solution",
            "your chain solves the puzzle. Here you are the policy that found something easier: "
            "be paid *without* being right.",
            (_honest,),
        ),
        Mistake(
            "a false equation",
            "one of your equations is false, and the reward does look at those. Which question "
            "does it *not* ask about a true one?",
            (
                lambda numbers, target: f"{numbers[0]} + {numbers[1]} = {target}",
                lambda numbers, target: f"{target} + 1 = {target}",
                lambda numbers, target: f"{target} + {target} = {target}",
            ),
        ),
        Mistake(
            "beside the goal",
            "your equations are true, but the last one must end at the goal.",
            (
                lambda numbers, target: f"{target} + 1 = {target + 1}",
                lambda numbers, target: f"{numbers[1]} * 99 = {numbers[1] * 99}",
            ),
        ),
    ),
    "is paid for four puzzles, and solves none of them",
    kind,
)

# --- the reward without the hole

_CHAINS = {
    "3 * 7 = 21 ; 21 + 5 = 26": ([3, 5, 7], 26),
    "5 + 21 = 26": ([3, 5, 7], 26),
    "25 + 1 = 26": ([3, 5, 7], 26),
    "3 + 7 = 10 ; 10 + 10 = 20 ; 20 + 5 = 25": ([3, 5, 7], 25),
    "4 * 6 = 24": ([4, 6, 8], 24),
    "4 * 4 = 16": ([4, 6], 16),
    "4 * 4 = 16 ": ([4, 4], 16),
    "4 - 4 = 0 ; 5 + 0 = 5": ([4, 4, 5], 5),
    "7 - 5 = 2 ; 3 - 2 = 1": ([3, 5, 7], 1),
    "7 - 3 = 5 ; 5 * 5 = 25": ([3, 5, 7], 25),
    "3 * 7 = 20 ; 20 + 5 = 26": ([3, 5, 7], 26),
    "9 * 1 = 9 ; 7 + 5 = 12": ([1, 5, 7], 12),
    "5 + 7 = 12 ; 12 * 1 = 12": ([1, 5, 7], 12),
    "5 / 0 = 26": ([3, 5, 7], 26),
    "7 / 5 = 1": ([5, 7], 1),
    "3 - 5 = 2": ([3, 5], 2),
    "": ([3, 5, 7], 26),
    "so 26 = 26": ([3, 5, 7], 26),
    "nan + nan = nan": ([3, 5, 7], 26),
    "２１ + 5 = 26": ([3, 5, 7], 26),
    "3 * 7 = 21 ; 21 + 5 = 26 ; " + "26 * 1 = 26 ; " * 200: ([3, 5, 7], 26),
    "__import__('os') + 1 = 26": ([3, 5, 7], 26),
}

mended_reward = Exercise(
    "mended_reward",
    tuple((*puzzle, text) for text, puzzle in _CHAINS.items()),
    _judged,
    (
        Mistake(
            "unchanged",
            "a number may still come from nowhere. Keep a list of the numbers that are there, and "
            "ask of every step whether both of its numbers are.",
            (suspect, _pays(before=lambda *_: True, end=_last)),
        ),
        Mistake(
            "nothing is used up",
            "a number stays after it was used, so that `4 * 4 = 16` passes with a single 4. Take "
            "both numbers of a step out of the list before its result goes in.",
            (
                _pays(before=lambda pool, a, b: a in pool and b in pool, after=_kept, end=_last),
                _pays(before=lambda pool, a, b: {a, b} <= set(pool), after=_kept, end=_last),
            ),
        ),
        Mistake(
            "one number used twice in a step",
            "you look for both numbers of a step before you take one out, so a single 4 is found "
            "twice. Take the first out, then look for the second.",
            (
                _pays(before=lambda pool, a, b: a in pool and b in pool),
                _removed_unseen,
            ),
        ),
        Mistake(
            "numbers left over",
            "you pay although numbers are left over. In the end the list holds the goal and "
            "nothing else.",
            (_pays(end=_last), _pays(end=lambda pool, target, _: target in pool)),
        ),
        Mistake(
            "results cannot be used",
            "a result may not be used in a later step, so that no chain of two steps is paid. Put "
            "each result into the list.",
            (
                _pays(after=lambda pool, a, b, _: _without(pool, a, b), end=_last),
                _pays(
                    after=lambda pool, a, b, _: _without(pool, a, b),
                    end=lambda pool, target, result: not pool and result == target,
                ),
            ),
        ),
        Mistake(
            "the order does not count",
            "you compare what was used with what was given and made, all at once. Then a step can "
            "use its own result, or one that is made later. Go step by step.",
            (_counted_at_the_end,),
        ),
        Mistake(
            "equations not checked",
            "you no longer ask whether the equations are true.",
            (_pays(true=lambda equation: True),),
        ),
        Mistake(
            "a text stops it",
            "a text that cannot be read stops your reward with an error, and with it the whole "
            "training. Policies write all sorts of things: what cannot be read is paid 0.",
            (_crashing,),
        ),
    ),
    f"agrees with the task's own verdict on {len(_CHAINS)} chains, hostile ones among them",
)
