"""`o1lib train`: checkpoints from their recipes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click


def makers() -> dict[str, Callable[[Path | None, Path | None], Path]]:
    """Every name that can be made -> a function of the folders of the run and of the result."""
    from o1lib.recipes.checkpoints import RECIPES, make
    from o1lib.recipes.grammars import run_grammars

    known = {name: partial(make, name) for name in RECIPES}
    return known | {"comparisons": lambda run_dir, out: run_grammars(out=out)}


class _Named(click.Command):
    """Lists the names in its help; they are looked up only there."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Names"):
            formatter.write_text(", ".join(makers()))


@click.command("train", cls=_Named)
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the checkpoint; by default under outputs/.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the log and the saved state; by default under outputs/.",
)
@click.option("--ship", is_flag=True, help="Write the checkpoint to data/.")
def command(name: str, out: Path | None, run_dir: Path | None, ship: bool) -> None:
    """Make a checkpoint anew from its recipe; a stopped training goes on where it was saved.

    \b
    Examples:
      o1lib train nano-think
      o1lib train think --out my-think
    """
    from o1lib.lab.paths import data_dir

    known = makers()
    if name not in known:
        raise ValueError(f"unknown checkpoint {name!r}; choose from {', '.join(known)}")
    if ship:
        out = None if name == "comparisons" else data_dir() / "checkpoints" / name
    click.echo(f"saved in {known[name](run_dir, out)}")
