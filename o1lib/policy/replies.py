"""Replies to the other instructions: `solve`, `judge`, `propose` and `revise` (`think` is in
`traces`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from o1lib.policy.lists import LARGEST, words
from o1lib.policy.traces import Piece, Style, Writer, conclusion
from o1lib.tasks import oracle
from o1lib.tasks.countdown import Countdown, Problem, Step
from o1lib.tasks.expression import parse_expression

_task = Countdown()


def solve(problem: Problem, rng: random.Random, blind: float = 0.0) -> list[Piece] | None:
    """A straight chain of canonical steps (instruction `solve`), a random one of the solutions; see
    `random_solution` for what `blind` does.
    """
    steps = random_solution(problem, rng, blind)
    if steps is None:
        return None
    text = " ; ".join(step.text for step in steps)
    return [(f"<think> {text} </think> <answer> {_task.answer(problem, steps)} </answer>", True)]


def random_solution(problem: Problem, rng: random.Random, blind: float = 0.0):
    """A winning sequence of steps, drawn step by step among the alive ones; None if there is
    none.

    With probability `blind` a step (but for the last) is any legal one, so that some sequences end
    elsewhere: who has seen only successes writes the goal behind any last equation.
    """
    state, steps = problem, []
    if not _task.solvable(state):
        return None
    while len(state.numbers) > 1:
        alive = [s for s in _task.legal_steps(state) if oracle.solvable(s.rest, state.target)]
        if not alive or (blind and len(state.numbers) > 2 and rng.random() < blind):
            alive = _task.legal_steps(state)
        step = rng.choice(alive)
        steps.append(step)
        state = Problem(step.rest, state.target)
    return tuple(steps)


def judge(state: Problem, rng: random.Random, style: Style = Style()) -> list[Piece]:
    """Is this state of two or three numbers alive? The listing, then the verdict (instruction
    `judge`).
    """
    writer = Writer(state, rng, replace(style, give_up=0.0))
    writer.say(f"<think> use {words(state.numbers)} for {state.target}")
    alive = writer.settle(state.numbers)
    writer.say(f"</think> <answer> {'alive' if alive else 'dead'} </answer>")
    return writer.pieces


def propose(problem: Problem, rng: random.Random, n: int = 3) -> list[Piece]:
    """Several distinct next steps, alive ones first (instruction `propose`)."""
    steps = [s for s in _task.legal_steps(problem) if 0 < s.result <= LARGEST]
    rng.shuffle(steps)
    steps.sort(key=lambda s: not oracle.solvable(s.rest, problem.target))
    return [(f"<answer> {' ; '.join(s.text for s in steps[:n])} </answer>", True)]


def revise(
    problem: Problem, attempt: Sequence[Step], rng: random.Random, style: Style = Style()
) -> list[Piece] | None:
    """A better chain that begins with a failed attempt (instruction `revise`).

    The attempt's own steps are checked against the goal. Then its steps are undone from the last
    one on, and what each state could still have made is listed: the steps before the first state
    that turns out alive are kept. None when the grammar cannot reach the goal.
    """
    writer = Writer(problem, rng, replace(style, give_up=0.0))
    said = " , ".join(step.equation for step in attempt)
    writer.say(f"<think> use {words(problem.numbers)} for {problem.target}")
    writer.say(f"check {said} for {problem.target} no wait")
    steps = [(s.left, s.op, s.right, s.result) for s in attempt]
    for kept in range(len(attempt) - 1, 0, -1):
        rest = attempt[kept - 1].rest
        if len(rest) not in (2, 3):
            break
        writer.say(f"left {words(rest)}")
        if writer.settle(rest, steps[:kept]):
            break
        if len(rest) == 2 and style.grammar != "dfs":
            writer.say("dead")
    if writer.solved is None:
        writer.say(f"left {words(problem.numbers)}")
        if not writer.start():
            return None
    writer.say(conclusion(problem, writer.solved))
    return writer.pieces


def steps_of(problem: Problem, expression: str) -> tuple[Step, ...] | None:
    """The steps that an answer's expression takes, in order; None where it cannot be read as legal
    steps that use every number once.
    """
    state, stack, steps = problem, [], []
    try:
        for part in parse_expression(expression):
            if isinstance(part, int):
                stack.append(part)
                continue
            right, left = stack.pop(), stack.pop()
            result = next(
                r for a, op, b, r in oracle.combine(left, right) if op == part and a == left
            )
            steps.append(_task.parse_step(state, f"{left} {part} {right} = {result}"))
            state = Problem(steps[-1].rest, problem.target)
            stack.append(result)
    except (ValueError, StopIteration):
        return None
    return tuple(steps) if len(state.numbers) == 1 else None
