"""`o1lib experiment`: arms x seeds into a table."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("experiment")
@click.argument("name", required=False)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=None,
    help="Runs of each arm; by default the experiment's own number.",
)
@click.option("--arms", default=None, help="Some of the arms, with commas between; by default all.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The table (CSV); by default data/experiments/NAME.csv.",
)
def command(name: str | None, seeds: int | None, arms: str | None, out: Path | None) -> None:
    """Run an experiment over several seeds and write one tidy table; without a NAME, list them.

    What the table has is kept: a stopped experiment goes on, and a part adds to it.

    \b
    Examples:
      o1lib experiment
      o1lib experiment bandit --seeds 3 --arms greedy,explore --out bandit.csv
    """
    from o1lib.lab.experiments import run_experiment
    from o1lib.recipes.experiments import EXPERIMENTS

    if name is None:
        for experiment in EXPERIMENTS.values():
            click.echo(f"{experiment.name}: {experiment.doc}")
            click.echo(f"    {experiment.seeds} seeds of {', '.join(experiment.arms)}")
        return
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; choose from {', '.join(EXPERIMENTS)}")
    chosen = [arm.strip() for arm in arms.split(",")] if arms else None
    saved = run_experiment(EXPERIMENTS[name], seeds=seeds, arms=chosen, out=out)
    click.echo(f"the table: {saved}")
