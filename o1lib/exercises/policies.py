"""Exercises about what a policy learns from: which tokens count, and how parts are mixed."""

from __future__ import annotations

import random
from fractions import Fraction

from o1lib.exercises.check import Exercise, Mistake
from o1lib.policy import traces
from o1lib.tasks import Countdown

# --- the loss mask


def _document(numbers, target, seed):
    """A real training document, of which a list of values holds a planted slip, as tokens."""
    task = Countdown(len(numbers))
    problem = task.problem(numbers, target)
    pieces = traces.think(problem, random.Random(seed), traces.Style(slip=1.0))
    prompt = ["<bos>", "<user>", *task.prompt(problem).split(), "<assistant>"]
    return prompt, [(text.split(), counts) for text, counts in pieces]


def _marked(prompt, pieces):
    """Every place is marked, then the prompt and the slips are cleared."""
    mask = [1] * (len(prompt) + sum(len(tokens) for tokens, _ in pieces) + 1)
    mask[: len(prompt)] = [0] * len(prompt)
    place = len(prompt)
    for tokens, counts in pieces:
        if not counts:
            mask[place : place + len(tokens)] = [0] * len(tokens)
        place += len(tokens)
    return mask


def _with(prompt=0, slip=0, end=1):
    """The mask with another value for the prompt, for slips and for the end."""

    def mask(prompt_tokens, pieces):
        body = [int(counts) or slip for tokens, counts in pieces for _ in tokens]
        return [prompt] * len(prompt_tokens) + body + [end]

    return mask


def _after_a_slip(prompt, pieces, forever):
    """Slips hide the piece behind them as well, or all that comes."""
    kept, hidden = [], False
    for tokens, counts in pieces:
        kept.append((tokens, counts and not hidden))
        hidden = not counts or (forever and hidden)
    return _marked(prompt, kept)


loss_mask = Exercise(
    "loss_mask",
    (
        (["<bos>"], [(["7", "+", "5", "="], True), (["13"], False), (["wait", "12"], True)]),
        (["<bos>", "ask"], [(["a"], True), (["b", "c"], False), (["wait"], True), (["d"], True)]),
        (["<bos>"], [(["the", "cat", "sleeps", "."], True)]),
        (["<bos>", "ask"], [(["b"], False), (["wait", "c"], True), (["b"], False), (["d"], True)]),
        _document([4, 6], 10, 1),
        _document([3, 5, 7], 26, 1),
    ),
    _marked,
    (
        Mistake(
            "end token left out",
            "your mask is one place too short: the end token stands behind the last piece. A "
            "policy whose loss never counts it does not learn to stop.",
            (lambda prompt, pieces: _marked(prompt, pieces)[:-1],),
        ),
        Mistake(
            "end token not counted",
            "the end token has its place but is not counted, so the policy does not learn to stop.",
            (_with(end=0),),
        ),
        Mistake(
            "slip counted",
            "you count the planted slip: then the policy learns to *make* that mistake. It should "
            "only learn what comes after it, the `wait`.",
            (_with(slip=1),),
        ),
        Mistake(
            "prompt counted",
            "you count the prompt. The user writes it, so there is nothing to learn from it here.",
            (_with(prompt=1), _with(prompt=1, slip=1)),
        ),
        Mistake(
            "prompt left out",
            "your mask begins with the reply; the prompt needs its places too, with zeros.",
            (lambda prompt, pieces: _marked(prompt, pieces)[len(prompt) :],),
        ),
        Mistake(
            "one place early",
            "everything is one place too early. This mask marks a token at its *own* place, not at "
            "the place from which it is predicted.",
            (
                lambda prompt, pieces: _marked(prompt, pieces)[1:],
                lambda prompt, pieces: [*_marked(prompt, pieces)[1:], 0],
                lambda prompt, pieces: [*_marked(prompt, pieces)[1:], 1],
            ),
        ),
        Mistake(
            "one place late",
            "everything is one place too late: off by one at the end of the prompt.",
            (lambda prompt, pieces: [0, *_marked(prompt, pieces)[:-1]],),
        ),
        Mistake(
            "one entry a piece",
            "you made one entry for each *piece*; the mask has one for each token.",
            (
                lambda prompt, pieces: [0, *(int(counts) for _, counts in pieces), 1],
                lambda prompt, pieces: [0] * len(prompt) + [int(c) for _, c in pieces] + [1],
            ),
        ),
        Mistake(
            "turned around",
            "zeros and ones are exchanged: 1 means that the loss counts the token.",
            (lambda prompt, pieces: [1 - counts for counts in _marked(prompt, pieces)],),
        ),
        Mistake(
            "correction hidden",
            "after a slip you also hide the piece that mends it, which is what the slip was "
            "planted for.",
            (lambda prompt, pieces: _after_a_slip(prompt, pieces, False),),
        ),
        Mistake(
            "all hidden after a slip",
            "after the first slip you count nothing any more; only the slip itself is left out.",
            (lambda prompt, pieces: _after_a_slip(prompt, pieces, True),),
        ),
    ),
    "marks the tokens that the training of this course counts, in six documents",
)

# --- the mixture


def _furthest_below(shares, lengths, n):
    """With exact fractions: which part has the smallest part of what is due to it?"""
    tokens, drawn = [0] * len(shares), []
    for _ in range(n):
        filled = [Fraction(t, share) for t, share in zip(tokens, shares, strict=True)]
        part = filled.index(min(filled))
        tokens[part] += lengths[part]
        drawn.append(part)
    return drawn


def _drawn(key, adds=lambda length: length):
    """Draw the part with the smallest `key(tokens, share, all tokens, all shares)`."""

    def draw(shares, lengths, n):
        tokens, drawn = [0] * len(shares), []
        for _ in range(n):
            whole, due = sum(tokens), sum(shares)
            keys = [key(t, share, whole, due) for t, share in zip(tokens, shares, strict=True)]
            drawn.append(keys.index(min(keys)))
            tokens[drawn[-1]] += adds(lengths[drawn[-1]])
        return drawn

    return draw


def _later_on_ties(shares, lengths, n):
    mirrored = _furthest_below(shares[::-1], lengths[::-1], n)
    return [len(shares) - 1 - part for part in mirrored]


mixture = Exercise(
    "mixture",
    (
        ([1, 1], [10, 1], 12),
        ([3, 1], [7, 7], 9),
        ([5, 2, 3], [61, 13, 7], 20),
        ([60, 10, 22], [97, 31, 11], 30),
        ([2, 3], [5, 11], 8),
        ([2, 3], [5, 11], 0),
    ),
    _furthest_below,
    (
        Mistake(
            "by documents",
            "you count documents. A part with long documents then gets far more than its share: "
            "what the model reads, and what costs time, are tokens.",
            (_drawn(lambda t, share, *_: t / share, adds=lambda length: 1),),
        ),
        Mistake(
            "equal tokens",
            "you give all parts equally many tokens: the shares are never used.",
            (_drawn(lambda t, share, *_: t),),
        ),
        Mistake(
            "shares turned around",
            "a part with a large share gets little. Divide the tokens *by* the share.",
            (_drawn(lambda t, share, *_: t * share),),
        ),
        Mistake(
            "the first for ever",
            "you draw the same part for ever. Either its tokens are never added up, or you take "
            "the part that is furthest *above* its share.",
            (
                _drawn(lambda t, share, *_: t / share, adds=lambda length: 0),
                _drawn(lambda t, share, *_: -t / share),
            ),
        ),
        Mistake(
            "the largest share",
            "you always draw from the part with the largest share and never ask what it has had.",
            (_drawn(lambda t, share, *_: -share),),
        ),
        Mistake(
            "differences",
            "you subtract. That fills the shares as well in the long run, but the rule here is the "
            "quotient: how full is a part, measured by its own share?",
            (_drawn(lambda t, share, whole, due: t - whole * share / due),),
        ),
        Mistake(
            "ties",
            "when two parts are equally far, the *earlier* one is drawn; you take the later.",
            (_later_on_ties,),
        ),
        Mistake(
            "in turn",
            "you draw the parts in turn. Neither shares nor lengths are used.",
            (lambda shares, lengths, n: [i % len(shares) for i in range(n)],),
        ),
    ),
    "draws what exact fractions draw, in six mixtures",
)
