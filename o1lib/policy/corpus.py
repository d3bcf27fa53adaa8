"""Training documents: endless, index-addressable parts, and a mixture that is exact in tokens.

A part is a function `rng -> Document`. Document number i of a part is drawn with a random generator
seeded by (seed, part, i), so a run can be stopped anywhere and go on with the very next document.
The mixture always draws from the part that is furthest
below its share *of tokens*; a document is never cut.

`check_goals` reads every document before it is trained on and refuses held-out goals, whatever made
the document.

Used in notebook 01.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from transformers import PreTrainedTokenizerFast

from o1lib.policy import replies, traces
from o1lib.policy.documents import Document, Part
from o1lib.policy.drills import (
    TRAINED,
    compose_part,
    dfs_test_part,
    equality_part,
    even_lists_part,
    joins_part,
    links_part,
    lists_part,
    random_number,
    steps_part,
)
from o1lib.policy.language import facts, grammar, logic
from o1lib.policy.traces import Style
from o1lib.tasks import oracle
from o1lib.tasks.arithmetic import Arithmetic
from o1lib.tasks.base import refuse_held_out
from o1lib.tasks.countdown import Countdown, Problem, Step
from o1lib.tasks.expression import attempted

LONGEST = 1100  # words of a chain: with its prompt within the context of 1,152 positions
_GOAL = re.compile(r"\b(?:make|for|want) ([0-9]+)\b")


def check_goals(document: Document) -> None:
    """Raise `ValueError` if a document asks for a held-out goal (`make G from`, `for G`), in its
    prompt or in its text.
    """
    for text in (document.prompt or "", document.text):
        for goal in _GOAL.findall(text):
            refuse_held_out(int(goal))


def encode(tokenizer: PreTrainedTokenizerFast, document: Document) -> tuple[list[int], list[bool]]:
    """Token ids and their loss mask: not the prompt, not planted slips."""
    check_goals(document)
    ids, loss_mask = [tokenizer.bos_token_id], [False]
    if document.prompt is not None:
        user, assistant = tokenizer.convert_tokens_to_ids(["<user>", "<assistant>"])
        prompt = tokenizer.encode(document.prompt, add_special_tokens=False)
        ids += [user, *prompt, assistant]
        loss_mask += [False] * (len(prompt) + 2)
    # Neighboring pieces of one kind are encoded together: words carry their own space, so the ids
    # are the same.
    runs: list[list] = []
    for text, counts in document.pieces:
        if runs and runs[-1][1] == counts:
            runs[-1][0].append(text)
        else:
            runs.append([[text], counts])
    for texts, counts in runs:
        new = tokenizer.encode(" ".join(texts), add_special_tokens=False)
        ids += new
        loss_mask += [counts] * len(new)
    return [*ids, tokenizer.eos_token_id], [*loss_mask, True]


class Mixture:
    """Documents of several parts, mixed by tokens.

    Args:
        parts: name -> (share of the tokens, part). Shares need not sum to one.
        tokenizer: encodes the documents.
        seed: of the documents.
    """

    def __init__(
        self,
        parts: dict[str, tuple[float, Part]],
        tokenizer: PreTrainedTokenizerFast,
        seed: int = 0,
    ):
        if not parts or any(share <= 0 for share, _ in parts.values()):
            raise ValueError("a mixture needs parts with positive shares")
        self.parts, self.tokenizer, self.seed = parts, tokenizer, seed
        self.state = self.fresh_state()

    def fresh_state(self) -> dict[str, dict[str, int]]:
        """How far each part has been read when nothing has been."""
        return {name: {"documents": 0, "tokens": 0} for name in self.parts}

    def identity(self) -> dict:
        """What decides the documents (see `o1lib.lab.identity`)."""
        return {"seed": self.seed, "tokenizer": self.tokenizer} | self.parts

    def next(self) -> tuple[list[int], list[bool]]:
        """The next document's token ids and loss mask."""
        name = min(self.parts, key=lambda part: self.state[part]["tokens"] / self.parts[part][0])
        progress = self.state[name]
        rng = random.Random(f"{self.seed} {name} {progress['documents']}")
        ids, loss_mask = encode(self.tokenizer, self.parts[name][1](rng))
        progress["documents"] += 1
        progress["tokens"] += len(ids)
        return ids, loss_mask

    def batch(self, tokens: int) -> list[tuple[list[int], list[bool]]]:
        """Documents with at least `tokens` tokens together."""
        documents = []
        while tokens > 0:
            documents.append(self.next())
            tokens -= len(documents[-1][0])
        return documents


# --- puzzles to train on


def _problem(rng: random.Random, n_numbers: int, high: int = 13) -> Problem:
    """A training problem: train-class inputs, a trained goal that nonnegative integers reach."""
    return Countdown(n_numbers, high=high).train_problem(rng.getrandbits(48))


def _reply(instruction: str, rng: random.Random, n_numbers: int, write, high: int = 13) -> Document:
    while True:
        problem = _problem(rng, n_numbers, high)
        pieces = write(problem, rng)
        if pieces is not None:
            return Document(f"{instruction} : {problem}", pieces)


def think_part(n_numbers: int, style: Style = Style(), high: int = 13, at_least: int = 0) -> Part:
    """Long chains (instruction `think`), of `at_least` so many words, and never longer than what
    fits into the context.
    """

    def write(problem, rng):
        pieces = traces.think(problem, rng, style)
        if pieces and not at_least <= sum(len(text.split()) for text, _ in pieces) <= LONGEST:
            return None
        return pieces

    return partial(_reply, "think", n_numbers=n_numbers, write=write, high=high)


def solve_part(n_numbers: int, blind: float = 0.0) -> Part:
    """Straight chains (instruction `solve`), with blind steps (see `replies.random_solution`)."""
    write = partial(replies.solve, blind=blind)
    return partial(_reply, "solve", n_numbers=n_numbers, write=write)


def answer_part(n_numbers: int) -> Part:
    """An answer without thinking (instruction `answer`)."""

    def write(problem, rng):
        steps = replies.random_solution(problem, rng)
        return steps and [(f"<answer> {Countdown().answer(problem, steps)} </answer>", True)]

    return partial(_reply, "answer", n_numbers=n_numbers, write=write)


def judge_part(rng: random.Random, style: Style = Style()) -> Document:
    """Is a state of two or three numbers alive? Half of them are (instruction `judge`)."""
    want_alive = rng.random() < 0.5
    while True:
        state = Problem(
            tuple(sorted(random_number(rng) for _ in range(rng.choice((2, 3, 3, 3))))),
            rng.choice(TRAINED),
        )
        if oracle.solvable(state.numbers, state.target) == want_alive:
            return Document(f"judge : {state}", replies.judge(state, rng, style))


def propose_part(rng: random.Random) -> Document:
    """Several next steps (instruction `propose`)."""
    problem = _problem(rng, rng.choice((3, 4)))
    return Document(f"propose : {problem}", replies.propose(problem, rng))


def revise_afresh_part(n_numbers: int, style: Style = Style()) -> Part:
    """A wrong attempt, drawn at random, with its value as feedback, then a fresh chain that does
    not look at it (instruction `revise`): what the shipped checkpoints were trained on.
    """

    def write(rng: random.Random) -> Document:
        while True:
            problem, steps = _random_attempt(rng, n_numbers)
            pieces = traces.think(problem, rng, style)
            if steps[-1].result != problem.target and pieces is not None:
                return Document(_revise_prompt(problem, steps), pieces)

    return write


def revise_part(
    n_numbers: int, style: Style = Style(), attempts: Sequence[tuple[Problem, str]] = ()
) -> Part:
    """A wrong attempt with its value as feedback, then what is right in it kept and the rest redone
    (instruction `revise`; `o1lib.policy.replies.revise`).

    Args:
        attempts: problems with answers that a policy gave (expressions), of which the wrong ones
            that can be read as steps are drawn; by default random steps are.

    Raises `ValueError` when there are attempts and none can be used.
    """
    read = [(problem, replies.steps_of(problem, answer)) for problem, answer in attempts]
    wrong = [(p, steps) for p, steps in read if steps and steps[-1].result != p.target]
    if attempts and not wrong:
        raise ValueError("none of the attempts is a wrong answer that can be read as steps")

    def write(rng: random.Random) -> Document:
        while True:
            problem, steps = rng.choice(wrong) if wrong else _random_attempt(rng, n_numbers)
            # The steps in the order in which the answer spells them: it is all that the policy
            # sees.
            steps = replies.steps_of(problem, Countdown().answer(problem, steps))
            if steps is None or steps[-1].result == problem.target:
                continue
            pieces = replies.revise(problem, steps, rng, style)
            if pieces is not None:
                return Document(_revise_prompt(problem, steps), pieces)

    return write


def _random_attempt(rng: random.Random, n_numbers: int) -> tuple[Problem, tuple[Step, ...]]:
    problem = _problem(rng, n_numbers)
    state, steps = problem, []
    while len(state.numbers) > 1:
        steps.append(rng.choice(Countdown().legal_steps(state)))
        state = Problem(steps[-1].rest, state.target)
    return problem, tuple(steps)


def _revise_prompt(problem: Problem, steps: tuple[Step, ...]) -> str:
    return f"revise : {problem} ; {attempted(Countdown().answer(problem, steps))}"


def straight_part(task) -> Part:
    """Straight chains of a step task's own solutions, such as Arithmetic expressions reduced one
    operation at a time (instruction `solve`).
    """
    return partial(_straight, task=task)


def _straight(rng: random.Random, task) -> Document:
    problem = task.train_problem(rng.getrandbits(48))
    return Document(task.prompt(problem, "solve"), [(task.solution_text(problem), True)])


# --- the mixtures of the shipped checkpoints


def base_parts(style: Style = Style()) -> dict[str, tuple[float, Part]]:
    """Pre-training: the small skills first (the equality tests are those of the grammar), a little
    language, facts and logic beside them.
    """
    dfs = style.grammar == "dfs"
    return {
        "tests": (26, dfs_test_part if dfs else equality_part),
        "joins": (10, dfs_test_part if dfs else joins_part),
        "lists": (28, lists_part),
        "compose": (12, compose_part),
        "links": (8, links_part),
        "steps": (6, steps_part),
        "arithmetic": (4, straight_part(Arithmetic())),
        "grammar": (4, grammar),
        "facts": (3, facts),
        "logic": (3, logic),
    }


def think_parts(n_numbers: int, style: Style = Style()) -> dict[str, tuple[float, Part]]:
    """Instruction fine-tuning: long chains above all, and the five other instructions.

    For four numbers also chains that are long because what solves the problem is tried late, and
    lists of every number: a policy falls apart where it has seldom been.
    """
    if n_numbers == 4:
        late = replace(style, oracle_order=0.0)
        parts: dict[str, tuple[float, Part]] = {
            "think 4": (48, think_part(4, style)),
            "think 4, long": (14, think_part(4, late, at_least=400)),
            "think 3": (8, think_part(3, style)),
            "lists of all": (5, even_lists_part),
        }
    else:
        parts = {"think 4": (22, think_part(4, style)), "think 3": (40, think_part(3, style))}
    parts["think 2"] = (1, think_part(2, style))
    return parts | {
        "solve": (5, solve_part(n_numbers)),
        "answer": (2, answer_part(n_numbers)),
        "judge": (5, partial(judge_part, style=style)),
        "propose": (3, propose_part),
        "revise": (3, revise_afresh_part(n_numbers, style)),
        "arithmetic": (3, straight_part(Arithmetic())),
        "tests": (5, base_parts(style)["tests"][1]),
        "joins": (2, base_parts(style)["joins"][1]),
        "links": (2, links_part),
        "lists": (5, lists_part),
        "compose": (2, compose_part),
    }
