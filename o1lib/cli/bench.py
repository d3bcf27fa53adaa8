"""`o1lib bench`: speed, as ratios within one run."""

from __future__ import annotations

import math

import click


@click.group("bench")
def command() -> None:
    """Measure speed, as ratios of things run in turn.

    \b
    Examples:
      o1lib bench rollouts --size nano
      o1lib bench search
    """


def _finite(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


@command.command()
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, callback=_finite)
def traces(seconds: float) -> None:
    """Chains of thought written in a second, on one core."""
    from o1lib.bench import bench_traces

    bench_traces(seconds)


@command.command()
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
    """Our sampler against transformers' `generate`, and against the machine's roofline."""
    from o1lib.bench import bench_rollouts

    for size in sizes:
        bench_rollouts(size, prompts, samples, repeats, numbers)


@command.command()
@click.option("--checkpoint", default="nano-think", help="Name or folder.")
@click.option("--problems", type=click.IntRange(2), default=64)
@click.option("--repeats", type=click.IntRange(1), default=3)
def search(checkpoint: str, problems: int, repeats: int) -> None:
    """The search driver, many problems at once against one at a time."""
    from o1lib.bench import bench_search

    bench_search(checkpoint, problems, repeats)


@command.command()
@click.option("--prompts", type=click.IntRange(1), default=16)
@click.option("--samples", type=click.IntRange(2), default=8)
@click.option("--steps", type=click.IntRange(1), default=4, help="Updates measured.")
def rl(prompts: int, samples: int, steps: int) -> None:
    """An update of GRPO, ours against TRL's trainer."""
    from o1lib.bench_rl import bench_rl

    bench_rl(prompts, samples, steps)
