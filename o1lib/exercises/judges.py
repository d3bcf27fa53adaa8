"""A silent bug: an AUC that praises a judge who only knows which puzzles are hard."""

from __future__ import annotations

import math

from o1lib.exercises.check import Exercise, Mistake
from o1lib.lab.statistics import auc


def _pair_by_pair(scores, alive, puzzles):
    won = count = 0.0
    for score, good, puzzle in zip(scores, alive, puzzles, strict=True):
        for other, also, where in zip(scores, alive, puzzles, strict=True):
            if puzzle == where and good and not also:
                count += 1
                won += 1.0 if score > other else 0.5 if score == other else 0.0
    return won / count if count else math.nan


def _over(counts=lambda a, b: a and not b, tie=0.5, sign=1, empty=math.nan):
    """A way to write it: which pairs of a puzzle count, and what a tie is worth."""

    def within(scores, alive, puzzles):
        places = range(len(scores))
        pairs = [
            (sign * scores[i], sign * scores[j])
            for i in places
            for j in places
            if i != j and puzzles[i] == puzzles[j] and counts(alive[i], alive[j])
        ]
        won = [1.0 if a > b else tie if a == b else 0.0 for a, b in pairs]
        return sum(won) / len(won) if won or empty is None else empty

    return within


def _mean_over_puzzles(without):
    """One AUC a puzzle, and their plain mean; `without` is that of a puzzle that has no pair."""

    def mean(scores, alive, puzzles):
        found = []
        for puzzle in dict.fromkeys(puzzles):
            mine = [i for i, other in enumerate(puzzles) if other == puzzle]
            value = auc([scores[i] for i in mine], [alive[i] for i in mine])
            if math.isnan(value):
                value = without
            if value is not None:
                found.append(value)
        return sum(found) / len(found) if found else math.nan

    return mean


mended_auc = Exercise(
    "mended_auc",
    (
        ([0.9, 0.8, 0.7, 0.3, 0.2, 0.1], [True, False, True, False, True, False], list("aaabbb")),
        ([0.5, 0.5, 0.1, 0.9], [True, False, False, True], list("aaab")),
        (
            [0.2, 0.6, 0.4, 0.4, 0.8, 0.3, 0.7],
            [False, True, True, False, False, True, True],
            list("aabbbbc"),
        ),
        ([0.3, 0.6, 0.1], [True, False, True], list("abc")),
    ),
    _pair_by_pair,
    (
        Mistake(
            "unchanged",
            "pairs from *different* puzzles still count. Most pairs are such pairs, and a judge "
            "wins them by knowing which puzzle is hard.",
            (lambda scores, alive, puzzles: auc(scores, alive),),
        ),
        Mistake(
            "a mean over puzzles",
            "you give every puzzle the same weight. Here every *pair* counts alike, so that a "
            "puzzle with one pair does not weigh as much as one with twenty.",
            (_mean_over_puzzles(None), _mean_over_puzzles(0.5), _mean_over_puzzles(0.0)),
        ),
        Mistake(
            "ties lost",
            "a tie counts as lost. It is as good as a coin: half a pair.",
            (_over(tie=0.0),),
        ),
        Mistake(
            "ties won",
            "a tie counts as won. It is as good as a coin: half a pair.",
            (_over(tie=1.0),),
        ),
        Mistake(
            "pairs that cannot be ranked",
            "two living steps, or two dead ones, are no pair: there is nothing to rank. Leave them "
            "out of the sum and out of the count.",
            (
                _over(counts=lambda a, b: True),
                _over(counts=lambda a, b: a or not b),
                _over(counts=lambda a, b: a),
            ),
        ),
        Mistake(
            "the wrong way round",
            "you count the pairs in which the *dead* step has the higher score.",
            (_over(sign=-1), _over(counts=lambda a, b: b and not a)),
        ),
        Mistake(
            "no pair at all",
            "where no puzzle has a pair there is nothing to say: give back `math.nan`.",
            (_over(empty=None), _over(empty=0.0), _over(empty=0.5), _over(empty=1.0)),
        ),
    ),
    "agrees with counting pair by pair, on four sets of steps (with ties, and with puzzles that "
    "have no pair)",
)
