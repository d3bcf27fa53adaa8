"""The exercise about generalized advantage estimation: which step earned the reward?"""

from __future__ import annotations

from o1lib.exercises.check import Exercise, Mistake


def _sum_of_deltas(rewards, values, gamma, lam):
    """Straight from the definition, a sum for every step."""
    after = [*values, 0.0][1:]
    deltas = [r + gamma * w - v for r, v, w in zip(rewards, values, after, strict=True)]
    return [
        sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[t:]))
        for t in range(len(deltas))
    ]


def _recursion(
    delta=lambda r, v, w, gamma, lam: r + gamma * w - v,
    carry=lambda gamma, lam: gamma * lam,
    last=lambda values: 0.0,
):
    """A backward recursion; each argument is one decision, right by default."""

    def function(rewards, values, gamma, lam):
        found, running, after = [], 0.0, last(values) if values else 0.0
        for reward, value in zip(reversed(rewards), reversed(values), strict=True):
            running = delta(reward, value, after, gamma, lam) + carry(gamma, lam) * running
            after = value
            found.append(running)
        return found[::-1]

    return function


def _forwards(rewards, values, gamma, lam):
    found, running = [], 0.0
    for reward, value, after in zip(rewards, values, [*values, 0.0][1:], strict=True):
        running = reward + gamma * after - value + gamma * lam * running
        found.append(running)
    return found


_right = _recursion()

gae = Exercise(
    "gae",
    (
        ([0.0, 0.0, 1.0], [0.5, 0.25, 0.75], 1.0, 0.0),
        ([0.0, 0.0, 1.0], [0.5, 0.25, 0.75], 1.0, 1.0),
        ([0.0, 0.0, 1.0], [0.5, 0.25, 0.75], 1.0, 0.5),
        ([1.0, 0.0, -0.5, 2.0], [0.3, 0.8, -0.2, 1.0], 0.9, 0.95),
        ([1.0, 0.0, -0.5, 2.0], [0.3, 0.8, -0.2, 1.0], 0.5, 0.0),
        ([1.0], [0.4], 0.9, 0.5),
        ([], [], 1.0, 0.95),
    ),
    _sum_of_deltas,
    (
        Mistake(
            "wrong direction",
            "you walk forwards, so a step collects the surprises of the *past*. Begin at the last "
            "step.",
            (_forwards,),
        ),
        Mistake(
            "back to front",
            "your numbers are right but in the order in which you found them, last step first.",
            (lambda *case: _right(*case)[::-1],),
        ),
        Mistake(
            "the end is worth something",
            "after the last step nothing follows, so the next value is 0 there. Yours repeats the "
            "last value, as if the text went on.",
            (_recursion(last=lambda values: values[-1]),),
        ),
        Mistake(
            "lambda missing",
            "lambda is not in what you carry over: carry gamma *times lambda* times the advantage "
            "of the next step.",
            (_recursion(carry=lambda gamma, lam: gamma),),
        ),
        Mistake(
            "gamma missing in the carry",
            "you carry lambda times the next advantage; gamma belongs there too.",
            (_recursion(carry=lambda gamma, lam: lam),),
        ),
        Mistake(
            "gamma missing at the next value",
            "inside delta the next value comes one step later, so it is discounted by gamma.",
            (_recursion(delta=lambda r, v, w, gamma, lam: r + w - v),),
        ),
        Mistake(
            "lambda inside delta",
            "lambda has no place inside delta. It only says how far later deltas are added.",
            (
                _recursion(delta=lambda r, v, w, gamma, lam: r + lam * w - v),
                _recursion(delta=lambda r, v, w, gamma, lam: r + gamma * lam * w - v),
            ),
        ),
        Mistake(
            "own value missing",
            "you never subtract the value of the step itself. An advantage is the surprise: what "
            "came, minus what was expected.",
            (_recursion(delta=lambda r, v, w, gamma, lam: r + gamma * w),),
        ),
        Mistake(
            "next value missing",
            "your delta compares the reward alone with the value. What is still to come, gamma "
            "times the next value, belongs to it.",
            (_recursion(delta=lambda r, v, w, gamma, lam: r - v),),
        ),
        Mistake(
            "sign",
            "the sign is turned around: better than expected must be positive.",
            (lambda *case: [-a for a in _right(*case)],),
        ),
        Mistake(
            "only the deltas",
            "you give back the deltas of single steps, which is lambda = 0.",
            (_recursion(carry=lambda gamma, lam: 0.0),),
        ),
        Mistake(
            "returns instead of advantages",
            "you added the values again: advantage + value is what the critic learns from, and not "
            "what the policy learns from.",
            (lambda r, v, *rest: [a + b for a, b in zip(_right(r, v, *rest), v, strict=True)],),
        ),
    ),
    "equals the sum of the definition on seven episodes, with lambda 0, 1 and between (one of the "
    "episodes is empty)",
)
