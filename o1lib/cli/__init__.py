"""The console script: each module of this package is one command, imported when it is called.

A user's mistake is one line and exit code 2; a bug is a traceback and exit code 1.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import click

from o1lib.lab import environment
from o1lib.lab.errors import is_for_users

NAMES = sorted(module.name for module in pkgutil.iter_modules(__path__))


class Commands(click.Group):
    """Finds commands by their module, and says errors that are for users in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return NAMES

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return importlib.import_module(f"{__name__}.{name}").command if name in NAMES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its whole first paragraph: click would cut it at the line's end."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first(self.get_command(ctx, name))) for name in NAMES])

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            if not is_for_users(error):
                raise
            raise click.UsageError(str(error)) from error


def _first(command: click.Command) -> str:
    return " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="o1lib COMMAND --help says more, with examples.",
)
@click.version_option(package_name="o1lib")
def main() -> None:
    """Teach a small language model to reason: policy initialization, reward design, search and
    learning.
    """
    environment.prepare()
