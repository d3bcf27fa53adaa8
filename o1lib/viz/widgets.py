"""Widgets: thin shells over tested functions. Their state is local, so that a later cell cannot
break an earlier widget.
"""

from __future__ import annotations

import html
import random
import re
import threading
from collections.abc import Callable

import ipywidgets
from ipywidgets import Layout

from o1lib.model.plain import continuations
from o1lib.tasks.countdown import Countdown, Problem
from o1lib.viz.terminal import settled
from o1lib.viz.trace import Chain, show_chain
from o1lib.viz.tree import spelled

_TYPED = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


class _Panel(ipywidgets.VBox):
    """A column of widgets; a page without widgets gets `_still()` instead."""

    def _still(self) -> Chain:
        """By default the sentence that stands for the widget."""
        return Chain(f"<p>{html.escape(repr(self))}</p>", repr(self))

    def _button(self, text: str, action: Callable[[], None]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=text, layout=Layout(width="auto", min_width="8em"))
        button.on_click(lambda _button: action())
        return button

    def _repr_mimebundle_(self, **options) -> dict:
        still, bundle = self._still(), super()._repr_mimebundle_(**options) or {}
        return bundle | {"text/plain": repr(still), "text/html": still.data}


class PuzzleWidget(_Panel):
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


def puzzle_widget(
    problem: Problem, think: Callable[[Problem], str] | None = None, seed: int = 0
) -> PuzzleWidget:
    """A box in which to answer a puzzle; see `PuzzleWidget`."""
    return PuzzleWidget(problem, think, seed)


class WatchWidget(_Panel):
    """A policy that thinks before your eyes: type a puzzle, or draw one of the validation split,
    and press *Think*; its chain appears token by token, and a second press stops it.

    The policy thinks in a thread of its own, so that the button can be pressed meanwhile.

    Args:
        policy, task: who thinks, and what its puzzles are.
        problem: the puzzle to begin with; by default one of the validation split.
        split: where puzzles are drawn from.
        seed: of the puzzles and the chains drawn.
    """

    def __init__(
        self,
        policy,
        task: Countdown,
        problem: Problem | None = None,
        split: str = "val_targets",
        seed: int = 0,
        max_new_tokens: int = 512,
    ):
        self._policy, self._task, self._limit = policy, task, max_new_tokens
        self._problems, self._random = task.problems(split, 100), random.Random(seed)
        self._stop, self._thread = threading.Event(), None
        self.numbers = ipywidgets.Text(description="numbers")
        self.goal = ipywidgets.BoundedIntText(
            24, min=1, max=999, description="goal", layout=Layout(width="11em")
        )
        self.another = self._button("another puzzle", self._draw)
        self.temperature = ipywidgets.FloatSlider(
            0.0,
            min=0,
            max=2,
            step=0.1,
            description="temperature",
            style={"description_width": "7em"},
        )
        self.pace = ipywidgets.IntSlider(20, min=2, max=100, description="tokens/s")
        self.button = self._button("Think", self._press)
        self.chain, self.verdict = ipywidgets.HTML(), ipywidgets.HTML()
        # Reversed, the box stays scrolled to its end while the chain grows.
        scrolled = ipywidgets.Box(
            [self.chain],
            layout=Layout(max_height="26em", overflow="auto", flex_flow="column-reverse"),
        )
        super().__init__(
            [
                ipywidgets.HBox([self.numbers, self.goal, self.another]),
                ipywidgets.HBox([self.temperature, self.pace, self.button]),
                scrolled,
                self.verdict,
            ]
        )
        self._pose(problem or self._random.choice(self._problems))

    def _pose(self, problem: Problem) -> None:
        self.problem = problem
        self.numbers.value = " ".join(map(str, problem.numbers))
        self.goal.value = problem.target

    def _draw(self) -> None:
        self._pose(self._random.choice(self._problems))

    def _typed(self) -> Problem:
        """The puzzle in the boxes. Raises `ValueError` for what is none."""
        numbers = re.split(r"[\s,]+", self.numbers.value.strip())
        if not all(re.fullmatch("[0-9]{1,9}", x) for x in numbers):
            raise ValueError("type whole numbers, such as 4 6 8 8")
        return self._task.problem([int(x) for x in numbers], self.goal.value)

    def _press(self) -> None:
        """Begin to think, or stop."""
        if self.thinking:
            self._stop.set()
            return
        self.chain.value = self.verdict.value = ""
        try:
            self.problem = self._typed()
        except ValueError as error:
            self.verdict.value = html.escape(str(error))
            return
        self._stop.clear()
        self.button.description = "Stop"
        arguments = self.problem, self.temperature.value, self._random.randrange(1 << 30)
        self._thread = threading.Thread(target=self._think, args=arguments, daemon=True)
        self._thread.start()

    @property
    def thinking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Until the policy has thought."""
        if self._thread is not None:
            self._thread.join()

    def _think(self, problem: Problem, temperature: float, seed: int) -> None:
        prompt, text, count = self._task.prompt(problem), "", 0
        try:
            for piece in continuations(self._policy, prompt, temperature, self._limit, seed):
                if self._stop.wait(1 / self.pace.value):
                    self.verdict.value = f"stopped after {count} tokens"
                    break
                text, count = text + piece, count + 1
                self._show(prompt, settled(text))
            else:
                found = self._task.verify(problem, text)
                word = "✓ right" if found.correct else "✗ wrong"
                self.verdict.value = f"<b>{word}</b>: {html.escape(found.reason)} ({count} tokens)"
            self._show(prompt, text)
        except Exception as error:  # nobody sees what a thread raises
            self.verdict.value = html.escape(f"The policy cannot think: {error}")
        finally:
            self.button.description = "Think"

    def _show(self, prompt: str, text: str) -> None:
        self.chain.value = show_chain(prompt, text, most=1000).data

    def _still(self) -> Chain:
        """The likeliest chain of the puzzle."""
        prompt = self._task.prompt(self.problem)
        [[found]] = self._policy.sample([prompt], temperature=0, max_new_tokens=self._limit)
        chain = show_chain(prompt, found.text, self._task.verify(self.problem, found.text))
        return Chain(f"<p>{html.escape(repr(self))}</p>{chain.data}", f"{self!r}\n{chain!r}")

    def __repr__(self) -> str:
        return (
            f"What the policy writes to '{self.problem}': open this notebook in JupyterLab to "
            "watch it think."
        )


def watch(policy, task: Countdown, problem: Problem | None = None, **options) -> WatchWidget:
    """A widget in which one watches a policy think; see `WatchWidget`."""
    return WatchWidget(policy, task, problem, **options)
