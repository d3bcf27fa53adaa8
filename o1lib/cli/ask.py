"""`o1lib ask 4 5 6 7`: one chain of thought, written live in the terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import click

TAUGHT = (3, 4)  # how many numbers the puzzles had that the shipped policies learned from


def puzzle(numbers: tuple[int, ...], target: int):
    """The task and the problem of a puzzle that was typed in.

    Raises `ValueError` for one that the shipped policies were not taught, or that cannot be solved.
    """
    from o1lib.tasks import Countdown

    if len(numbers) not in TAUGHT:
        known = " or ".join(map(str, TAUGHT))
        raise ValueError(
            f"the policies were taught puzzles of {known} numbers, this one has {len(numbers)}"
        )
    task = Countdown(len(numbers))
    problem = task.problem(list(numbers), target)
    if not task.solvable(problem, integers=False):
        raise ValueError(f"nobody can {problem}: no expression that uses every number once does")
    return task, problem


@click.command("ask")
@click.argument("numbers", nargs=-1, required=True, type=click.IntRange(1))
@click.option("--target", type=click.IntRange(1), default=24, help="The number to make.")
@click.option("--checkpoint", default="think", help="Name or folder.")
@click.option("--english", is_flag=True, help="Write the thoughts in fuller English.")
@click.option(
    "--temperature", type=click.FloatRange(0, 100), default=0.0, help="0 is the likeliest chain."
)
@click.option("--seed", type=int, default=0, help="Of the draws, above temperature 0.")
@click.option("--max-new-tokens", type=click.IntRange(1, 1100), default=512)
def command(
    numbers: tuple[int, ...],
    target: int,
    checkpoint: str,
    english: bool,
    temperature: float,
    seed: int,
    max_new_tokens: int,
) -> None:
    """Let the model make a number (24) from 3 or 4 others, and watch it think.

    \b
    Examples:
      o1lib ask 4 5 6 7
      o1lib ask 3 7 11 --target 40 --english
      o1lib ask 4 6 9 12 --temperature 1 --seed 3
    """
    task, problem = puzzle(numbers, target)

    from o1lib.model.plain import continuations
    from o1lib.model.policy import Policy
    from o1lib.viz import terminal

    depth = terminal.color_depth(sys.stdout, os.environ)
    encoding = getattr(sys.stdout, "encoding", None)

    def write(text: str) -> None:
        click.echo(terminal.fitted(text, encoding), nl=False, color=depth > 0)

    policy = Policy.load(checkpoint)
    write(f"{problem}, thinks {checkpoint}\n")
    if not task.solvable(problem):
        write("(Whole numbers do not suffice here, and the policy knows no fractions.)\n")
    if depth:
        write(f"{terminal.legend(depth)}\n")
    write("\n")
    prompt, count, begun = task.prompt(problem), 0, time.monotonic()

    def counted() -> Iterator[str]:
        nonlocal count
        for piece in continuations(policy, prompt, temperature, max_new_tokens, seed):
            count += 1
            yield piece

    text = terminal.write_live(counted(), write, depth, english)
    seconds = time.monotonic() - begun
    verdict = task.verify(problem, text)
    write(f"\n{terminal.verdict_line(verdict, count, seconds, depth)}\n")
