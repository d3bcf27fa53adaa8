"""Long chains about jugs, written from the truth: a depth-first search that says where it stands,
tries a step, and says what it sees.

    use 3 5 for 4
    from 0 0 try fill a left 3 0 no            a new state: go on from there
    from 3 0 try empty a left 0 0 dead         a state that the chain has met before
    ... try pour b to a left 3 4 yes so fill b , ... </think> <answer> fill b , ... </answer>

The behaviors are those of the chains about numbers (`o1lib.policy.behaviors`), in another world:
alternatives (`try`), self-evaluation (`no`, `dead`, `yes`).

Used by the experiment `transfer`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from o1lib.policy.documents import Document, Part
from o1lib.policy.traces import Piece
from o1lib.tasks.jugs import JugProblem, Jugs

_TRY = re.compile(
    r"from ((?:[0-9]+ )+)try ([a-z ]+?) left ((?:[0-9]+ )*[0-9]+)(?: (no|dead|yes))?(?!\S)"
)


def think(problem: JugProblem, rng: random.Random, longest: int = 24) -> list[Piece] | None:
    """A depth-first search in random order, as pieces; None where it takes more than `longest`
    tries, or never arrives.
    """
    task, tries = Jugs(), 0
    path, met = [(problem, None)], {problem.amounts}
    ahead = [_shuffled(task, problem, rng)]
    lines = [f"<think> use {_spaced(problem.capacities)} for {problem.goal}"]
    while path:
        state, _ = path[-1]
        if not ahead[-1]:
            path.pop()
            ahead.pop()
            continue
        step, tries = ahead[-1].pop(), tries + 1
        if tries > longest:
            return None
        after = task.apply(state, step)
        line = f"from {_spaced(state.amounts)} try {step.text}"
        if task.is_solved(after):
            steps = [s for _, s in path if s] + [step]
            actions = task.answer(problem, steps)
            lines.append(f"{line} yes so {actions} </think> <answer> {actions} </answer>")
            return [(" ".join(lines), True)]
        if after.amounts in met:
            lines.append(f"{line} dead")
            continue
        lines.append(f"{line} no")
        met.add(after.amounts)
        path.append((after, step))
        ahead.append(_shuffled(task, after, rng))
    return None


def _shuffled(task: Jugs, state: JugProblem, rng: random.Random) -> list:
    steps = task.legal_steps(state)
    rng.shuffle(steps)
    return steps


def _spaced(numbers) -> str:
    return " ".join(map(str, numbers))


def think_part(n_jugs: int = 2) -> Part:
    """Long chains about jugs (instruction `think`)."""
    task = Jugs(n_jugs)

    def write(rng: random.Random) -> Document:
        while True:
            problem = task.train_problem(rng.getrandbits(48))
            pieces = think(problem, rng)
            if pieces is not None:
                return Document(task.prompt(problem, "think"), pieces)

    return write


@dataclass(frozen=True)
class JugCheck:
    """What the truth says of a chain's tries: how many there are, legal ones with the right
    amounts, verdicts, right ones, tries that failed (`no` or `dead`) and those after which it goes
    on to try again.
    """

    tries: int = 0
    right_tries: int = 0
    verdicts: int = 0
    right_verdicts: int = 0
    failed: int = 0
    went_on: int = 0


def check_chain(problem: JugProblem, text: str) -> JugCheck:
    """Hold every `from S try STEP left T VERDICT` of a chain against the truth. A verdict is right
    when it is `yes` for a state with the goal, `dead` for one that the chain has met, else `no`.
    """
    task, met = Jugs(len(problem.capacities)), {problem.amounts}
    counts = dict.fromkeys(JugCheck.__dataclass_fields__, 0)
    matches = list(_TRY.finditer(text))
    for index, match in enumerate(matches):
        amounts = tuple(map(int, match[1].split()))
        after = tuple(map(int, match[3].split()))
        counts["tries"] += 1
        counts["right_tries"] += _leads(task, problem, amounts, match[2], after)
        if match[4]:
            truth = "yes" if problem.goal in after else "dead" if after in met else "no"
            counts["verdicts"] += 1
            counts["right_verdicts"] += match[4] == truth
            if match[4] != "yes":
                counts["failed"] += 1
                counts["went_on"] += index + 1 < len(matches)
        met.add(after)
    return JugCheck(**counts)


def _leads(task: Jugs, problem: JugProblem, amounts, action: str, after) -> bool:
    """Whether an action leads from some amounts to others."""
    try:
        state = task.problem(problem.capacities, problem.goal, amounts)
        return task.parse_step(state, action).amounts == after
    except ValueError:
        return False
