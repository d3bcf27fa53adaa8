"""`o1lib run`: the notebooks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from o1lib.lab.paths import SCALES


@click.command("run")
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default=None,
    help="How large the experiments are; by default $SCALE, else laptop.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the executed notebooks and their pages; by default outputs/SCALE.",
)
@click.option("--in-place", is_flag=True, help="Write what is ok back into notebooks/.")
@click.option("--accept", is_flag=True, help="Record the numbers found as the expected ones.")
@click.option(
    "--resume",
    is_flag=True,
    help="Let trainings go on from an earlier run; without it they begin anew.",
)
@click.argument("notebooks", nargs=-1)
def command(
    scale: str | None,
    out: Path | None,
    in_place: bool,
    accept: bool,
    resume: bool,
    notebooks: tuple[str, ...],
) -> None:
    """Execute the notebooks, check their numbers and findings, and write pages to read.

    NOTEBOOKS are the beginnings of names; without any, all are run. The exit code is 1 when a
    notebook fails, a number is not as expected or a finding does not hold.

    \b
    Examples:
      o1lib run
      o1lib run 00 --scale ci
      o1lib run 04 --resume
    """
    try:
        from o1lib.lab.notebooks import run_notebooks
    except ModuleNotFoundError as error:
        raise ValueError(
            f"running notebooks needs {error.name}: pip install 'o1lib[notebooks]'"
        ) from error

    scale = scale or os.environ.get("SCALE", "laptop")
    ok = run_notebooks(scale, list(notebooks), out, in_place, accept, resume)
    sys.exit(0 if ok else 1)
