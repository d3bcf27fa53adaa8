"""The exercise about a strategy that is a conversation: beam search as a generator."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import isgenerator

from o1lib.exercises.check import Exercise, Mistake
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search import trees
from o1lib.search.driver import search_all
from o1lib.search.expand import any_step
from o1lib.search.guidance import value
from o1lib.search.nodes import Found
from o1lib.search.parts import Part
from o1lib.search.requests import Score
from o1lib.tasks import Countdown, Jugs
from o1lib.tasks.jugs import JugProblem
from o1lib.tasks.space import Space


class _NoPolicy:
    """A beam over listed steps asks no policy; the driver only counts its tokens."""

    tokenizer = build_tokenizer()


@dataclass
class Judge:
    """A scorer with an opinion on every text, the same each time, and no idea what it means.

    It gives one number a word, as scorers do; `turns` counts how often it was asked.
    """

    seed: int
    turns: int = field(default=0, compare=False)

    def score(self, prompts, responses) -> list[list[float]]:
        self.turns += bool(responses)
        return [
            [
                zlib.crc32(f"{self.seed} {prompt} {words[: i + 1]}".encode()) / 2**32
                for i in range(len(words))
            ]
            for prompt, words in zip(prompts, map(str.split, responses), strict=True)
        ]

    def __str__(self) -> str:
        return f"judge {self.seed}"


def _space(problem) -> Space:
    return Space(Jugs() if isinstance(problem, JugProblem) else Countdown(), problem)


def answer_and_turns(function: Callable, problem, judge: Judge, width: int, depth: int):
    """[the response, how often the judge was asked], by the library's driver; what is no generator
    is given back as it is.
    """
    judge, space = Judge(judge.seed), _space(problem)
    made = function(space, judge, width, depth)
    if not isgenerator(made):
        return made
    strategy = Part(lambda _: made)
    [result] = search_all(strategy, _NoPolicy(), space.task, [problem])
    return [result.response, judge.turns]


def _librarys(problem, judge, width, depth):
    def beam(space, scorer, width, depth):
        return trees.beam(value(scorer), width, any_step(), max_depth=depth)(space)

    return answer_and_turns(beam, problem, judge, width, depth)


def _beam(
    keep: Callable = lambda ranked, width: ranked[:width],
    best: Callable = max,
    read: Callable = lambda row: row[-1],
    aside: str = "kept",
    once: bool = True,
    total: bool = False,
):
    """A way to write the beam: whom it keeps, who wins, which of a row's numbers is read, which
    complete solutions are set aside, and whether a turn asks about all.
    """

    def beam(space, scorer, width, depth):
        open_, done = [(0.0, space.root)], []
        for _ in range(depth):
            below = [
                (before, space.child(here, step), here)
                for before, here in open_
                for step in space.steps(here)
            ]
            if aside == "stay":  # what is finished competes with what is not
                below += [(v, here, None) for v, here in open_ if space.complete(here)]
            if not below:
                break
            texts = [child.prefix for _, child, _ in below]
            if once:
                rows = yield Score(scorer, space.prompt, tuple(texts))
            else:
                rows = []
                for text in texts:
                    rows += yield Score(scorer, space.prompt, (text,))
            values = [read(row) for row in rows]
            ranked = [
                (v + before if total else v, child, parent)
                for v, (before, child, parent) in zip(values, below, strict=True)
            ]
            ranked.sort(key=lambda entry: entry[0], reverse=True)
            kept = [(v, child) for v, child, _ in keep(ranked, width)]
            if aside == "all":
                done += [(v, child) for v, child, _ in ranked if space.complete(child)]
            elif aside == "kept":
                done += [entry for entry in kept if space.complete(entry[1])]
            if aside == "first" and any(space.complete(node) for _, node in kept):
                done = [entry for entry in kept if space.complete(entry[1])]
                break
            if aside == "last":
                done = [entry for entry in kept if space.complete(entry[1])]
            stays = aside == "stay"
            open_ = [(v, node) for v, node in kept if stays or not space.complete(node)]
            if stays and all(space.complete(node) for _, node in open_):
                break
        if aside == "stay":
            done = [entry for entry in open_ if space.complete(entry[1])]
        if not done:
            return Found(None)
        return Found(space.response(best(done, key=lambda entry: entry[0])[1]))

    return beam


def _mute(space, scorer, width, depth):
    yield from _beam()(space, scorer, width, depth)


def _of_each(ranked, width):
    """The best of every parent, instead of the best of all."""
    taken: dict = {}
    kept = []
    for entry in ranked:
        taken[entry[2]] = taken.get(entry[2], 0) + 1
        if taken[entry[2]] <= width:
            kept.append(entry)
    return kept


_countdown, _jugs = Countdown(), Jugs()

beam = Exercise(
    "beam",
    (
        (_countdown.problem([3, 5, 7], 26), Judge(1), 2, 8),
        (_countdown.problem([2, 4, 6, 8], 30), Judge(2), 3, 8),
        (_jugs.problem([4, 7], 3), Judge(6), 2, 8),
        (_jugs.problem([4, 7], 3), Judge(2), 2, 8),  # no solution comes into the beam
        (_jugs.problem([3, 5], 2), Judge(4), 3, 8),
    ),
    _librarys,
    (
        Mistake(
            "nothing returned",
            "your generator asks the right questions, but it returns nothing. It ends with "
            "`return Found(space.response(node))`.",
            (_mute,),
        ),
        Mistake(
            "one question at a time",
            "the answers are right, but you ask about one text in each turn. Ask about all "
            "children of a depth in *one* `Score`: a network reads many texts together far faster "
            "than one after the other.",
            (_beam(once=False),),
        ),
        Mistake(
            "the worst kept",
            "you keep the children with the *lowest* values: sort with `reverse=True`.",
            (
                _beam(lambda ranked, width: ranked[::-1][:width]),
                _beam(lambda ranked, width: ranked[::-1][:width], min),
            ),
        ),
        Mistake(
            "the best of each parent",
            "you keep the best children of *every* parent. A beam compares all children of a depth "
            "with each other, whoever their parents are.",
            (_beam(_of_each),),
        ),
        Mistake(
            "the first number of a row",
            "a scorer gives one number a word, and a text is judged at its *last* one.",
            (
                _beam(read=lambda row: row[0]),
                _beam(read=lambda row: sum(row) / len(row)),
                _beam(read=max),
            ),
        ),
        Mistake(
            "finished ones stay in the beam",
            "solutions that are complete stay in the beam and take the room of others. Set them "
            "aside, and let the others go on.",
            (_beam(aside="stay"),),
        ),
        Mistake(
            "stops at the first solution",
            "you stop as soon as a solution is complete. A better one may come up later, as some "
            "solutions are longer than others.",
            (_beam(aside="first"),),
        ),
        Mistake(
            "finished ones forgotten",
            "you remember only the complete solutions of the last depth. Set aside those of every "
            "depth.",
            (_beam(aside="last"),),
        ),
        Mistake(
            "finished ones from outside the beam",
            "you set aside every complete child, also those that are not among the `width` best.",
            (_beam(aside="all"),),
        ),
        Mistake(
            "values added up",
            "you add up the values along the way. The value of a text already speaks of all of it.",
            (_beam(total=True),),
        ),
        Mistake(
            "the wrong end chosen",
            "the beam is right, but of the solutions set aside you do not return the one with the "
            "highest value.",
            (
                _beam(best=min),
                _beam(best=lambda done, key: done[0]),
                _beam(best=lambda done, key: done[-1]),
            ),
        ),
    ),
    "writes what the library's beam writes and asks as seldom, for five puzzles of Countdown and "
    "Jugs",
    answer_and_turns,
    "the response, and how often the judge is asked: ",
)
