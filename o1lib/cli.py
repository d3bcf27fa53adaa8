"""The console script: `o1lib run | evaluate | train | bench | doctor`. Errors of use exit with code
2.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path

import click

SEARCHES = ("greedy", "sample", "majority", "best_of_n", "depth_first", "beam", "mcts")
SCALES = click.Choice(["ci", "laptop", "gpu"])


def _finite(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


class Kept:
    """The results of an evaluation, written line by line beside the report's place until the report itself is complete.

    Raises `ValueError` where the report cannot be written, or where a stopped run's results lie.
    """

    def __init__(self, out: Path, puzzles: str):
        if out.is_dir() or not out.parent.is_dir():
            raise ValueError(
                f"{out} cannot be written: it is a folder, or its folder does not exist"
            )
        self.out = out.resolve()
        if self.out.exists() and not self.out.is_file():
            raise ValueError(f"{out} cannot be written: it is no ordinary file")
        if self.out == Path(puzzles).resolve():
            raise ValueError(f"{out} holds the puzzles")
        self.lines = self.out.with_name(self.out.name + ".partial.jsonl")
        if self.lines.exists():
            raise ValueError(
                f"{self.lines} holds the results of a run that was stopped: move or delete it first"
            )
        self.count = 0

    def add(self, result: dict) -> None:
        with self.lines.open("a") as file:
            file.write(json.dumps(result) + "\n")
        self.count += 1

    def finish(self, report: dict) -> None:
        partial = self.out.with_name(self.out.name + ".part")
        try:
            partial.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        os.replace(partial, self.out)
        self.lines.unlink(missing_ok=True)


class Group(click.Group):
    """Turns the library's `ValueError` and `OSError`, which are written for users, into one line
    and exit code 2.
    """

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            raise click.UsageError(str(error)) from error


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(package_name="o1lib")
def main() -> None:
    """Teach a small language model to reason: policy initialization, reward design, search and
    learning.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


@main.command()
@click.option("--scale", type=SCALES, default=None, help="Preset; by default $SCALE, else laptop.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Folder of the executed notebooks."
)
@click.option(
    "--in-place", is_flag=True, help="Write the outputs back into notebooks/ (make refresh)."
)
@click.option("--accept", is_flag=True, help="Record the numbers found as the expected ones.")
@click.argument("notebooks", nargs=-1)
def run(
    scale: str | None, out: Path | None, in_place: bool, accept: bool, notebooks: tuple[str, ...]
) -> None:
    """Execute the notebooks (all, or those whose name starts with a given number) and check their
    numbers.
    """
    from o1lib.lab.notebooks import run_notebooks

    scale = scale or os.environ.get("SCALE", "laptop")
    sys.exit(0 if run_notebooks(scale, list(notebooks), out, in_place, accept) else 1)


@main.command()
@click.option(
    "--puzzles",
    required=True,
    help="JSON lines, a CSV with a Puzzles column, or a split such as game24 or val_targets:3.",
)
@click.option("--checkpoint", default="think", help="Name or folder.")
@click.option(
    "--instruction",
    type=click.Choice(["think", "solve", "answer"]),
    default=None,
    help="By default think; solve for searches over steps.",
)
@click.option("--search", type=click.Choice(SEARCHES), default="greedy")
@click.option(
    "--select",
    type=click.Choice(["model", "checker"]),
    default="model",
    help="How best_of_n, beam and mcts choose.",
)
@click.option(
    "--guidance",
    default=None,
    help="Values of partial solutions for beam and mcts: oracle, or a value model (value, nano-value, a folder).",
)
@click.option(
    "--n",
    type=click.IntRange(1, 4096),
    default=16,
    help="Samples per puzzle, width of the beam, or simulations.",
)
@click.option(
    "--budget", type=click.IntRange(1), default=None, help="Generated tokens per puzzle at most."
)
@click.option(
    "--budget-scored", type=click.IntRange(0), default=None, help="Scored tokens at most."
)
@click.option(
    "--budget-checks", type=click.IntRange(0), default=None, help="Checker calls at most."
)
@click.option("--max-new-tokens", type=click.IntRange(1, 1100), default=512)
@click.option("--temperature", type=click.FloatRange(0, 100), default=1.0, callback=_finite)
@click.option("--seed", type=int, default=0)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Report file (JSON). Until it is complete, finished puzzles are kept beside it, a batch at a time.",
)
def evaluate(
    puzzles: str,
    checkpoint: str,
    out: Path | None,
    guidance: str | None,
    budget: int | None,
    budget_scored: int | None,
    budget_checks: int | None,
    **options,
) -> None:
    """Let a checkpoint solve puzzles and check every answer strictly."""
    from o1lib.model.policy import Policy
    from o1lib.reward.process import ValueModel
    from o1lib.search.core import Budget
    from o1lib.search.evaluate import evaluate as run_evaluation
    from o1lib.search.guidance import OracleGuidance
    from o1lib.tasks.puzzles import read_puzzles

    problems = read_puzzles(puzzles)
    kept = Kept(out, puzzles) if out else None
    policy = Policy.load(checkpoint)
    options["budget"] = Budget(budget, budget_scored, budget_checks)
    if guidance:
        options["guidance"] = (
            OracleGuidance() if guidance == "oracle" else ValueModel.load(guidance)
        )

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = run_evaluation(policy, problems, on_result=kept and kept.add, **options)
        report["settings"] |= {"checkpoint": checkpoint, "puzzles": Path(puzzles).name}
        report["settings"]["guidance"] = guidance
        if kept:
            kept.finish(report)
    except BaseException:
        if kept and kept.count:
            click.echo(
                f"stopped: {kept.count} of {len(problems)} puzzles are kept in {kept.lines}",
                err=True,
            )
        raise
    each = {name: report[name] / report["n"] for name in ("tokens", "scored", "checks")}
    spent = ", ".join(f"{value:.0f} {name}" for name, value in each.items() if value)
    click.echo(
        f"{report['correct']:g} of {report['n']} correct ({report['accuracy']:.1%}), {spent or 'nothing spent'} a puzzle, {report['seconds']:.1f} s"
    )


@main.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Checkpoint folder; by default under outputs/.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=None,
    help="Log and state; by default under outputs/.",
)
@click.option("--ship", is_flag=True, help="Write the checkpoint to data/.")
def train(name: str, out: Path | None, run_dir: Path | None, ship: bool) -> None:
    """Make a named checkpoint from its recipe (or `comparisons`); a stopped run goes
    on where it was saved.
    """
    from o1lib.lab.paths import data_dir
    from o1lib.recipes.checkpoints import RECIPES, make
    from o1lib.recipes.grammars import run_grammars

    if ship:
        out = data_dir() / "checkpoints" / name
    if name == "comparisons":
        saved = run_grammars(out=None if ship else out)
    elif name in RECIPES:
        saved = make(name, run_dir, out)
    else:
        known = (*RECIPES, "comparisons")
        raise ValueError(f"unknown checkpoint {name!r}; choose from {', '.join(known)}")
    click.echo(f"saved in {saved}")


@main.group()
def bench() -> None:
    """Measure speed, as ratios within one run."""


@bench.command()
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, callback=_finite)
def traces(seconds: float) -> None:
    """Chains written per second on one core."""
    from o1lib.bench import bench_traces

    bench_traces(seconds)


@bench.command()
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.Choice(["nano", "micro", "small"]),
    default=("nano", "micro"),
    help="Sizes to measure.",
)
@click.option("--prompts", type=click.IntRange(1), default=32)
@click.option("--samples", type=click.IntRange(1), default=8)
@click.option("--repeats", type=click.IntRange(1), default=3)
@click.option("--numbers", type=click.IntRange(3, 4), default=4, help="Numbers of the puzzles.")
def rollouts(
    sizes: tuple[str, ...], prompts: int, samples: int, repeats: int, numbers: int
) -> None:
    """Our sampler against transformers' `generate`, on the same prompts, and against the machine's
    roofline.
    """
    from o1lib.bench import bench_rollouts

    for size in sizes:
        bench_rollouts(size, prompts, samples, repeats, numbers)


@bench.command()
@click.option("--checkpoint", default="nano-think", help="Name or folder.")
@click.option("--problems", type=click.IntRange(2), default=64)
@click.option("--repeats", type=click.IntRange(1), default=3)
def search(checkpoint: str, problems: int, repeats: int) -> None:
    """The batched search driver against one problem at a time."""
    from o1lib.bench import bench_search

    bench_search(checkpoint, problems, repeats)


@bench.command()
@click.option("--prompts", type=click.IntRange(1), default=16)
@click.option("--samples", type=click.IntRange(2), default=8)
@click.option("--steps", type=click.IntRange(1), default=4, help="Updates measured.")
def rl(prompts: int, samples: int, steps: int) -> None:
    """A GRPO update, ours against TRL's trainer."""
    from o1lib.bench import bench_rl

    bench_rl(prompts, samples, steps)


@main.command()
def doctor() -> None:
    """What this machine has, what will be chosen, and what is broken with its mend."""
    from o1lib.doctor import report

    sys.exit(report())
