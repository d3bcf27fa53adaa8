"""The exercise about shaping: pay for progress that cannot be earned in a circle."""

from __future__ import annotations

from o1lib.exercises.check import Exercise, Mistake


def _from_the_returns(rewards, potentials, gamma):
    """By the theorem: in every state the shaped return is the return minus the potential."""
    returns = [0.0]
    for reward in reversed(rewards):
        returns.insert(0, reward + gamma * returns[0])
    shaped = [g - p for g, p in zip(returns, [*potentials[:-1], 0.0], strict=True)]
    return [shaped[t] - gamma * shaped[t + 1] for t in range(len(rewards))]


def _shape(bonus=lambda now, after, gamma: gamma * after - now, ended=True, discount=False):
    """A way to write it: the bonus of a step, and whether the last potential is zero."""

    def shaped(rewards, potentials, gamma):
        path = [*potentials[:-1], 0.0] if ended else potentials
        steps = enumerate(rewards)
        return [
            (r + bonus(path[t], path[t + 1], gamma)) * (gamma**t if discount else 1)
            for t, r in steps
        ]

    return shaped


def _both(**bad) -> tuple:
    """A wrong bonus, with the last potential as zero and with the last potential kept."""
    return _shape(**bad), _shape(**bad, ended=False)


shaped_rewards = Exercise(
    "shaped_rewards",
    (
        ([0.0, 0.0, 1.0], [-3.0, -2.0, -1.0, 0.0], 0.9),
        ([0.0, 0.0, 0.0], [1.0, 2.0, 1.0, 2.0], 1.0),
        ([0.5, -0.1], [0.3, -0.4, 0.8], 0.5),
        ([], [2.0], 0.9),
    ),
    _from_the_returns,
    (
        Mistake(
            "the last potential kept",
            "the potential of the last state is kept. The episode is over there, so it must count "
            "as zero; else a chain is paid for where it happens to stop.",
            (_shape(ended=False),),
        ),
        Mistake(
            "no gamma",
            "the potential of the next state is not discounted. It counts gamma times, like all "
            "that comes one step later; else the bonuses no longer cancel.",
            _both(bonus=lambda now, after, gamma: after - now),
        ),
        Mistake(
            "gamma on the wrong side",
            "the discount stands at the wrong potential: it belongs to the *next* state.",
            _both(bonus=lambda now, after, gamma: after - gamma * now)
            + _both(bonus=lambda now, after, gamma: gamma * (after - now)),
        ),
        Mistake(
            "progress only",
            "you pay for steps forward and charge nothing for steps back. Then walking to and fro "
            "earns without end.",
            _both(bonus=lambda now, after, gamma: max(0.0, gamma * after - now))
            + _both(bonus=lambda now, after, gamma: max(0.0, after - now)),
        ),
        Mistake(
            "paid for being there",
            "you pay for *being* at a good place, in every step anew, so that staying near the "
            "goal is better than reaching it. Pay for the change of the potential.",
            _both(bonus=lambda now, after, gamma: gamma * after)
            + _both(bonus=lambda now, after, gamma: after)
            + _both(bonus=lambda now, after, gamma: now),
        ),
        Mistake(
            "sign",
            "the difference is turned around: what comes after, minus what was before. The best "
            "chain would stay the best, but each step towards it would be blamed.",
            _both(bonus=lambda now, after, gamma: now - gamma * after)
            + _both(bonus=lambda now, after, gamma: now - after),
        ),
        Mistake(
            "discounted already",
            "your rewards are discounted already. Give back what each step pays when it is taken; "
            "whoever adds them up will discount them.",
            (_shape(discount=True),),
        ),
    ),
    "leaves the order of all chains as it was: in every state the return is lower by the potential",
)
