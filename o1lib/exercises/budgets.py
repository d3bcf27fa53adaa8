"""The exercise about the driver: it advances a strategy, carries out what it asks for, and pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from o1lib.exercises.check import Exercise, Mistake
from o1lib.search.budget import OutOfBudget

MOST_TEXTS = 200  # a driver that never stops is stopped


@dataclass(frozen=True)
class Writer:
    """A policy that writes the word `so`; of what it may write it uses this share."""

    share: float = 1.0

    def __call__(self, most: int) -> list[str]:
        return ["so"] * max(1, round(most * self.share))

    def __str__(self) -> str:
        return f"writer({self.share})"


@dataclass(frozen=True)
class Strategy:
    """A generator function without arguments, with a name."""

    name: str
    function: Callable[[], Iterator]

    def __call__(self) -> Iterator:
        return self.function()

    def __str__(self) -> str:
        return self.name


def one_text():
    """Ask for one text of 10 tokens."""
    text = yield 10
    return len(text)


def many_texts():
    """As many texts of 10 tokens as the budget pays for."""
    texts = []
    try:
        for _ in range(50):
            texts.append((yield 10))
    except OutOfBudget:
        pass
    return [len(text) for text in texts]


def shorter_and_shorter():
    """What is refused is asked for again, half as long."""
    most, lengths = 16, []
    while most >= 1 and len(lengths) < 20:
        try:
            text = yield most
            lengths.append(len(text))
        except OutOfBudget:
            most //= 2
    return lengths


def careless():
    """Five texts; nobody thought of the budget."""
    lengths = []
    for _ in range(5):
        text = yield 10
        lengths.append(len(text))
    return lengths


def nothing():
    """Ask for nothing at all."""
    return "nothing"
    yield


STRATEGIES = tuple(
    Strategy(f.__name__, f) for f in (one_text, many_texts, shorter_and_shorter, careless, nothing)
)


class TooManyTexts(Exception):
    """The driver has let the policy write far more often than any budget allows."""


def spending(function: Callable, strategy, write, budget: int):
    """[what the driver returns, its cost, the tokens that were really written]; what is no pair is
    given back as it is.
    """
    lengths: list[int] = []

    def counted(most: int) -> list[str]:
        if len(lengths) >= MOST_TEXTS:
            raise TooManyTexts(f"the policy has written {MOST_TEXTS} texts and there is no end")
        lengths.append(len(write(most)))
        return write(most)

    found = function(strategy, counted, budget)
    if not isinstance(found, tuple | list) or len(found) != 2:
        return found
    return [*found, sum(lengths)]


def _recursively(strategy, write, budget):
    """The same conversation, told as a recursion over what is left of the budget."""
    run = strategy()

    def after(advance, left):
        try:
            most = advance()
        except StopIteration as end:
            return end.value, budget - left
        except OutOfBudget:
            return None, budget - left
        if most > left:
            return after(lambda: run.throw(OutOfBudget("tokens")), left)
        text = write(most)
        return after(lambda: run.send(text), left - len(text))

    return after(lambda: next(run), budget)


def _drive(
    refuse: Callable = lambda most, left: most > left,
    price: Callable = lambda most, text: len(text),
    refused_costs: bool = False,
    after_writing: bool = False,
    refusal: str = "throw",
    value: Callable = lambda end: end.value,
    send: bool = True,
):
    """A way to write the driver; each argument is one decision, right by default."""

    def drive(strategy, write, budget):
        run, spent = strategy(), 0
        try:
            most = next(run)
            while True:
                if after_writing:
                    text = write(most)
                    spent += len(text)
                    refused = spent > budget
                else:
                    refused = refuse(most, budget - spent)
                if refused and refusal == "stop":
                    return None, spent
                if refused and refusal == "raise":
                    raise RuntimeError("out of budget")
                if refused:
                    spent += most if refused_costs else 0
                    most = run.throw(OutOfBudget("tokens"))
                    if refusal == "lost":
                        most = next(run)
                    continue
                if not after_writing:
                    text = write(most)
                    spent += price(most, text)
                most = run.send(text) if send else next(run)
        except StopIteration as end:
            return value(end), spent
        except OutOfBudget:
            return None, spent

    return drive


def _raising(strategy, write, budget):
    run, spent = strategy(), 0
    try:
        most = next(run)
        while True:
            if most > budget - spent:
                raise OutOfBudget("tokens")
            text = write(most)
            spent += len(text)
            most = run.send(text)
    except StopIteration as end:
        return end.value, spent


def _uncaught(strategy, write, budget):
    run, spent = strategy(), 0
    try:
        most = next(run)
        while True:
            if most > budget - spent:
                most = run.throw(OutOfBudget("tokens"))
                continue
            text = write(most)
            spent += len(text)
            most = run.send(text)
    except StopIteration as end:
        return end.value, spent


_ONE, _MANY, _SHORTER, _CARELESS, _NOTHING = STRATEGIES

drive = Exercise(
    "drive",
    (
        (_ONE, Writer(), 25),
        (_MANY, Writer(), 35),
        (_MANY, Writer(), 30),
        (_MANY, Writer(0.5), 30),
        (_SHORTER, Writer(), 27),
        (_SHORTER, Writer(0.25), 21),
        (_CARELESS, Writer(), 60),
        (_CARELESS, Writer(), 25),
        (_NOTHING, Writer(), 0),
    ),
    lambda *case: spending(_recursively, *case),
    (
        Mistake(
            "charged afterwards",
            "you let the policy write first and look at the budget then, when it is too late: more "
            "is written than was allowed.",
            (_drive(after_writing=True), _drive(lambda most, left: left <= 0)),
        ),
        Mistake(
            "the exact fit refused",
            "a request that fits exactly is refused. It is too much only if it is *more* than what "
            "is left.",
            (_drive(lambda most, left: most >= left),),
        ),
        Mistake(
            "paid for what was asked",
            "you pay for what the policy *may* write. What may be written decides whether the "
            "request is carried out; paid for is what was written.",
            (_drive(price=lambda most, text: most),),
        ),
        Mistake(
            "charged twice",
            "you charge twice for the same text.",
            (
                _drive(price=lambda most, text: 2 * len(text)),
                _drive(price=lambda most, text: most + len(text)),
            ),
        ),
        Mistake(
            "never charged",
            "nothing is ever charged, so the budget never ends anything.",
            (
                _drive(price=lambda most, text: 0),
                _drive(price=lambda most, text: 1),
            ),
        ),
        Mistake(
            "refusals charged",
            "you charge for requests that you refused.",
            (_drive(refused_costs=True),),
        ),
        Mistake(
            "the strategy not told",
            "you end the search when the budget is gone, and the strategy never hears of it. Throw "
            "`OutOfBudget` *into* it with `run.throw(...)`: it may return the best it has, or ask "
            "for something cheaper.",
            (_raising, _drive(refusal="stop"), _drive(refusal="raise")),
        ),
        Mistake(
            "a request lost",
            "`run.throw(...)` gives back the next request, just as `run.send(...)` does. You drop "
            "it.",
            (_drive(refusal="lost"),),
        ),
        Mistake(
            "nobody catches it",
            "a strategy that does not catch `OutOfBudget` ends with it, and your driver with it. "
            "Catch it there and return None as the result, with the cost.",
            (_uncaught,),
        ),
        Mistake(
            "the result lost",
            "what a generator returns arrives as the `value` of `StopIteration`.",
            (_drive(value=lambda end: None),),
        ),
        Mistake(
            "nothing sent",
            "the strategy gets None instead of the text: use `run.send(text)`, not `next(run)`.",
            (_drive(send=False),),
        ),
    ),
    "drives nine searches, spends what it says, and never more than the budget",
    spending,
    "the result, the cost, and the tokens really written: ",
)
