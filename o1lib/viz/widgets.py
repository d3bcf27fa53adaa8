"""Widgets: thin shells over tested functions. Their state is local, so that a later cell cannot
break an earlier widget.
"""

from __future__ import annotations

import html

import ipywidgets

from o1lib.tasks.countdown import Countdown, Problem


def puzzle_widget(problem: Problem) -> ipywidgets.VBox:
    """A box in which to type an expression; the verdict appears below, with its reason."""
    task = Countdown()
    box = ipywidgets.Text(
        placeholder="your expression", description="answer", continuous_update=False
    )
    verdict = ipywidgets.HTML()

    def check(_change=None) -> None:
        if box.value.strip():
            found = task.verify_answer(problem, box.value)
            verdict.value = (
                f"<b>{'right' if found.correct else 'not yet'}</b>: {html.escape(found.reason)}"
            )
        else:
            verdict.value = f"{problem}, every number once"

    box.observe(check, "value")
    check()
    return ipywidgets.VBox([box, verdict])
