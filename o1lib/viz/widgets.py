"""Widgets: thin shells over tested functions. Their state is local, so that a later cell cannot
break an earlier widget.
"""

from __future__ import annotations

import html
import random
from collections.abc import Callable

import ipywidgets

from o1lib.tasks.countdown import Countdown, Problem
from o1lib.viz.trace import show_chain
from o1lib.viz.tree import spelled

_TYPED = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


class PuzzleWidget(ipywidgets.VBox):
    """A puzzle with a box for the answer, and buttons for a new puzzle and a hint.

    Args:
        problem: the puzzle to begin with.
        think: gives a model's chain for a puzzle as text, called when its button is pressed;
            without it there is no such button. A checkpoint is best loaded on the first call.
        seed: of the new puzzles.
    """

    def __init__(
        self, problem: Problem, think: Callable[[Problem], str] | None = None, seed: int = 0
    ):
        self._task, self._think, self._random = Countdown(), think, random.Random(seed)
        self._asked = ipywidgets.HTML()
        self.box = ipywidgets.Text(
            placeholder="your expression, then Enter", description="answer", continuous_update=False
        )
        self.verdict, self.hints, self.chain = (ipywidgets.HTML() for _ in range(3))
        self.new = self._button("new puzzle", lambda: self.pose(self._another()))
        self.hint = self._button("hint", self._give_hint)
        self.model = self._button("the model's own chain", self._show_model)
        buttons = [self.new, self.hint, *([self.model] if think else [])]
        row = ipywidgets.HBox(buttons)
        super().__init__([self._asked, self.box, self.verdict, row, self.hints, self.chain])
        self.box.observe(lambda _change: self._check(), "value")
        self.pose(problem)

    def _button(self, text: str, action: Callable[[], None]) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description=text, layout=ipywidgets.Layout(width="auto", min_width="8em")
        )
        button.on_click(lambda _button: action())
        return button

    def pose(self, problem: Problem) -> None:
        """Ask a puzzle, and forget everything about the one before."""
        self.problem, self._steps = problem, None
        self._asked.value = f"<b>{html.escape(str(problem))}</b>, every number exactly once"
        self.box.value = ""
        for part in (self.verdict, self.hints, self.chain):
            part.value = ""

    def _another(self) -> Problem:
        """A solvable puzzle with as many numbers and the same target, another one than this."""
        low, high = self._task.low, self._task.high
        for _ in range(1000):
            numbers = [self._random.randint(low, high) for _ in self.problem.numbers]
            problem = self._task.problem(numbers, self.problem.target)
            if problem != self.problem and self._task.solvable(problem):
                return problem
        return self.problem  # large targets are hardly ever reached: the same puzzle afresh

    def _check(self) -> None:
        if not self.box.value.strip():
            self.verdict.value = ""
            return
        found = self._task.verify_answer(self.problem, self.box.value.translate(_TYPED))
        word = "✓ right" if found.correct else "✗ not yet"
        shown = html.escape(self.box.value[:80])
        reason = html.escape(found.reason)
        self.verdict.value = f"<code>{shown}</code>: <b>{word}</b>, {reason}"

    def _give_hint(self) -> None:
        """One more step of a solution, every time the button is pressed."""
        if self._steps is None:
            self._steps = iter(next(self._task.solutions(self.problem), ()))
        step = next(self._steps, None)
        if step is not None:
            rest = " ".join(map(str, step.rest))
            end = f"then {rest} are left" if len(step.rest) > 1 else "done"
            self.hints.value += f"<div>{html.escape(spelled(step.equation))}, {end}</div>"
        elif not self.hints.value:
            solvable = self._task.solvable(self.problem, integers=False)
            self.hints.value = (
                "Whole numbers do not suffice here: a fraction is needed on the way."
                if solvable
                else "This puzzle has no solution."
            )

    def _show_model(self) -> None:
        self.model.disabled = True
        try:
            text = self._think(self.problem)
            verdict = self._task.verify(self.problem, text)
            self.chain.value = show_chain(str(self.problem), text, verdict).data
        except (ValueError, OSError) as error:
            self.chain.value = html.escape(f"The model cannot answer: {error}")
        finally:
            self.model.disabled = False

    def __repr__(self) -> str:
        return (
            f"A box for your answer to '{self.problem}': open this notebook in JupyterLab to type."
        )

    def _repr_mimebundle_(self, **options) -> dict:
        """The widget where there is one; a page without gets the sentence."""
        bundle = super()._repr_mimebundle_(**options) or {}
        return bundle | {"text/plain": repr(self), "text/html": f"<p>{html.escape(repr(self))}</p>"}


def puzzle_widget(
    problem: Problem, think: Callable[[Problem], str] | None = None, seed: int = 0
) -> PuzzleWidget:
    """A box in which to answer a puzzle; see `PuzzleWidget`."""
    return PuzzleWidget(problem, think, seed)
