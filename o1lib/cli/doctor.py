"""`o1lib doctor`: what is broken here, and how to mend it."""

from __future__ import annotations

import sys

import click


@click.command("doctor")
def command() -> None:
    """Say what this machine has, what will be chosen, and what is broken and how to mend it."""
    from o1lib.doctor import diagnose

    sys.exit(diagnose())
