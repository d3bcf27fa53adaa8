"""The mistakes that a writer of chains makes on purpose, so that a policy sees how they are noticed
and mended. The loss never counts the mistake itself.
"""

from __future__ import annotations

from o1lib.policy.lists import LARGEST, equation, results_of, words
from o1lib.tasks import oracle


class Mistakes:
    """What a `Writer` (o1lib.policy.traces) does wrong, as its style says."""

    overlooked = False  # whether a list that meets what is wanted was passed over

    def overlooks(self) -> bool:
        return bool(self.style.overlook) and self.rng.random() < self.style.overlook

    def pass_over(self, begun: str, values: list[int], shown: list[int]) -> None:
        """A list that meets what is wanted by the last of the values shown, said to meet nothing.
        The loss counts none of it that comes after the hit.
        """
        self.overlooked = True
        self.say(f"{begun} {words(shown)}")
        self.say(f"{words(values[len(shown) :])} no".lstrip(), counts=False)

    def misreads(self) -> bool:
        return bool(self.style.misread) and self.rng.random() < self.style.misread

    def take_back(self, line: str, steps: list[tuple[int, str, int, int]], kept: int) -> None:
        """A list that meets nothing, said to meet; the steps that follow from it, the last on the
        number kept, worked out honestly; and `wait`. The loss counts the results and the `wait`,
        not the mistake.
        """
        last = oracle.combine(steps[-1][3], kept)
        misses = [step for step in last if 0 < step[3] <= LARGEST and step[3] != self.goal]
        if not misses:
            return
        self.say(line)
        self.say("yes so", counts=False)
        for place, (a, op, b, result) in enumerate([*steps, self.rng.choice(misses)]):
            self.say(f"{', ' if place else ''}{a} {op} {b} =", counts=False)
            self.say(str(result))
        self.say("wait")

    def gives_up(self, before: list, x: int, y: int, kept: int) -> bool:
        """With the style's probability: end the chain with steps that miss the goal, on the numbers
        tried last.
        """
        if not self.style.give_up or self.rng.random() >= self.style.give_up:
            return False
        misses = [(v, w) for v in results_of(x, y) for w in results_of(v, kept) if w != self.goal]
        if not misses:
            return False
        value, end = self.rng.choice(misses)
        self.solved = [*before, equation(x, y, value), equation(value, kept, end)]
        return True
