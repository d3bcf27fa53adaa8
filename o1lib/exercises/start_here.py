"""Checks of the exercises of notebook 00: from the checker of an answer to a policy gradient.

Used in notebooks/exercises/00_start_here.ipynb.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations
from statistics import fmean, pstdev, stdev

import numpy as np
import torch

from o1lib.exercises.check import Exercise, Mistake
from o1lib.tasks import Countdown

# --- 1: the checker

# (numbers used, value, numbers given, target) of an expression, and the expression itself.
_ANSWERS = {
    "( 4 + 8 ) * ( 8 - 6 )": ([4, 8, 8, 6], 24, [4, 6, 8, 8], 24),
    "4 * 6": ([4, 6], 24, [4, 6, 8, 8], 24),
    "4 * ( 6 + 8 - 8 ) + 8 - 8": ([4, 6, 8, 8, 8, 8], 24, [4, 6, 8, 8], 24),
    "4 * 6 + 8 - 8": ([4, 6, 8, 8], 24, [4, 6, 8, 8], 24),
    "4 * 6 * 8 / 8 / 4 * 4": ([4, 6, 8, 8, 4, 4], 24, [4, 6, 8, 8], 24),
    "4 + 6 + 8 + 8": ([4, 6, 8, 8], 26, [4, 6, 8, 8], 24),
    "8 / ( 3 - 8 / 3 )": ([8, 3, 8, 3], 24, [3, 3, 8, 8], 24),
    "8 * 3": ([8, 3], 24, [3, 3, 8, 8], 24),
    "8 + 8 + 8": ([8, 8, 8], 24, [8, 8], 24),
    "( 7 * 7 ) / 2 * 1": ([7, 7, 2, 1], Fraction(49, 2), [1, 2, 7, 7], 24),
    "25 - 1": ([25, 1], 24, [4, 6, 8, 8], 24),
}


def _verified(used, value, numbers, target) -> bool:
    """The verdict of the course's verifier on the expression itself."""
    [text] = [t for t, case in _ANSWERS.items() if case == (used, value, numbers, target)]
    return Countdown().verify_answer(Countdown().problem(numbers, target), text).correct


is_right = Exercise(
    "is_right",
    tuple(_ANSWERS.values()),
    _verified,
    (
        Mistake(
            "only the value",
            "you look at the value but not at the numbers, so `4 * 6` passes although two eights "
            "were never used.",
            (lambda used, value, numbers, target: value == target,),
        ),
        Mistake(
            "only the numbers",
            "you look at the numbers but not at the value.",
            (lambda used, value, numbers, target: sorted(used) == sorted(numbers),),
        ),
        Mistake(
            "sets instead of multisets",
            "a set forgets how often a number occurs: two eights become one. Compare sorted lists "
            "or `Counter`s.",
            (lambda used, value, numbers, target: set(used) == set(numbers) and value == target,),
        ),
        Mistake(
            "the lenient checker",
            "you only ask whether every number used was given, as a set. This is the published bug "
            "of section 8: a number may be left out or used twice.",
            (lambda used, value, numbers, target: set(used) <= set(numbers) and value == target,),
        ),
        Mistake(
            "numbers left over",
            "you accept answers that leave numbers out; every number must be used.",
            (
                lambda used, value, numbers, target: (
                    Counter(used) <= Counter(numbers) and value == target
                ),
            ),
        ),
        Mistake(
            "numbers used too often",
            "you accept answers that use a number more often than it was given.",
            (
                lambda used, value, numbers, target: (
                    Counter(numbers) <= Counter(used) and value == target
                ),
            ),
        ),
        Mistake(
            "order matters",
            "you compare the two lists in order, but an answer may use the numbers in any order.",
            (lambda used, value, numbers, target: used == numbers and value == target,),
        ),
        Mistake(
            "rounded value",
            "you round the value: 49/2 is not 24, however close. Compare it as it is.",
            (
                lambda used, value, numbers, target: (
                    sorted(used) == sorted(numbers) and int(value) == target
                ),
                lambda used, value, numbers, target: (
                    sorted(used) == sorted(numbers) and round(value) == target
                ),
            ),
        ),
    ),
    f"agrees with the course's verifier on {len(_ANSWERS)} answers, right ones and tricky ones",
)

# --- 2: returns


def _returns(rewards, gamma):
    """Straight from the definition, a sum for every step."""
    return [
        sum(gamma ** (k - t) * rewards[k] for k in range(t, len(rewards)))
        for t in range(len(rewards))
    ]


def _from_the_front(rewards, gamma):
    found, total = [], 0.0
    for reward in rewards:
        total = reward + gamma * total
        found.append(total)
    return found


returns = Exercise(
    "returns",
    (
        ([0, 0, 1], 1.0),
        ([0, 0, 1], 0.5),
        ([1, 2, 3, 4], 0.9),
        ([1, 2, 3, 4], 0.0),
        ([5], 0.7),
        ([], 0.9),
        ([-1, 0, 0.5, 0, 2], 0.8),
    ),
    _returns,
    (
        Mistake(
            "wrong direction",
            "you add up the rewards of the past. A return is what is still to come: begin at the "
            "last reward and walk backwards.",
            (_from_the_front,),
        ),
        Mistake(
            "back to front",
            "your numbers are right but in the order in which you found them, last step first. "
            "Turn the list around before you give it back.",
            (lambda rewards, gamma: _returns(rewards, gamma)[::-1],),
        ),
        Mistake(
            "own reward missing",
            "your sum begins one step too late: the return of a step includes that step's own "
            "reward.",
            (
                lambda rewards, gamma: [
                    gamma * value for value in (*_returns(rewards, gamma)[1:], 0)[: len(rewards)]
                ],
                lambda rewards, gamma: [*_returns(rewards, gamma)[1:], 0][: len(rewards)],
            ),
        ),
        Mistake(
            "one discount too many",
            "you discount a step's own reward as well; gamma only makes *later* rewards smaller.",
            (lambda rewards, gamma: [gamma * value for value in _returns(rewards, gamma)],),
        ),
        Mistake(
            "discount since the start",
            "you discount from the beginning of the episode. The return of step t discounts from "
            "step t: the next reward counts gamma, whatever t is.",
            (
                lambda rewards, gamma: [
                    gamma**t * value for t, value in enumerate(_returns(rewards, gamma))
                ],
            ),
        ),
        Mistake(
            "no discount",
            "you never use gamma.",
            (lambda rewards, gamma: _returns(rewards, 1.0),),
        ),
        Mistake(
            "a single number",
            "you give back one number, the return of the whole episode; every step has its own.",
            (
                lambda rewards, gamma: sum(gamma**t * r for t, r in enumerate(rewards)),
                lambda rewards, gamma: sum(rewards),
            ),
        ),
        Mistake(
            "the rewards themselves",
            "you give back the rewards. Each step should also get what comes after it.",
            (lambda rewards, gamma: rewards,),
        ),
    ),
    "equals the definition, term by term, on seven episodes (one of them empty)",
)

# --- 3: pass@k


def _by_counting(n, correct, k):
    """All ways to draw k of n samples, of which the first `correct` are right."""
    draws = list(combinations(range(n), k))
    return sum(min(draw) < correct for draw in draws) / len(draws)


def _factorials(n, correct, k):
    f = math.factorial
    return 1 - f(n - correct) * f(n - k) / (f(n - correct - k) * f(n))


pass_at_k = Exercise(
    "pass_at_k",
    ((4, 2, 1), (4, 2, 2), (4, 2, 3), (12, 1, 6), (5, 0, 3), (6, 6, 2), (10, 3, 4), (9, 7, 5)),
    _by_counting,
    (
        Mistake(
            "plug-in",
            "you draw with replacement: 1 - (1 - c/n)^k may look at one sample twice, so it is too "
            "low. Count the draws of k *different* samples that hold no right one.",
            (lambda n, correct, k: 1 - (1 - correct / n) ** k,),
        ),
        Mistake(
            "the chance to miss",
            "you computed the chance that all k samples are wrong. The answer is 1 minus that.",
            (lambda n, correct, k: math.comb(n - correct, k) / math.comb(n, k),),
        ),
        Mistake(
            "all of them",
            "you computed the chance that *all* k samples are right; one is enough.",
            (
                lambda n, correct, k: math.comb(correct, k) / math.comb(n, k),
                lambda n, correct, k: (correct / n) ** k,
            ),
        ),
        Mistake(
            "fewer than k wrong ones",
            "when fewer than k samples are wrong, any k of them hold a right one: the answer is 1. "
            "Your formula leaves its range there.",
            (_factorials,),
        ),
        Mistake(
            "k times pass@1",
            "k tries are not k times as good: that sum counts draws with two right samples twice.",
            (
                lambda n, correct, k: min(1.0, k * correct / n),
                lambda n, correct, k: k * correct / n,
            ),
        ),
        Mistake(
            "pass@1",
            "you never use k.",
            (lambda n, correct, k: correct / n,),
        ),
    ),
    "equals counting all the ways to draw k of n samples, on eight inputs",
)

# --- 4: advantages


def _centered(rewards):
    return (np.array(rewards, float) - np.mean(rewards, axis=1, keepdims=True)).tolist()


def _over_spread(spread, epsilon):
    def function(rewards):
        return [
            [(r - fmean(group)) / (spread(group) + epsilon) for r in group] for group in rewards
        ]

    return function


def _over_numpy(rewards):
    with np.errstate(all="ignore"):
        rewards = np.array(rewards, float)
        return (rewards - rewards.mean(1, keepdims=True)) / rewards.std(1, keepdims=True)


group_advantages = Exercise(
    "group_advantages",
    (
        ([[1, 0, 0, 0], [1, 1, 1, 0]],),
        ([[1, 1, 1, 1], [0, 0, 0, 0]],),
        ([[0.5, 0.25, 0.0, 1.0], [2.0, -1.0, 0.0, 3.0], [1, 1, 0, 0]],),
        ([[1, 0]],),
    ),
    _centered,
    (
        Mistake(
            "one mean for all",
            "you subtract the mean of the whole batch. Then a hard puzzle is punished for being "
            "hard; compare each answer with the others to the *same* puzzle.",
            (lambda rewards: np.array(rewards) - np.mean(rewards),),
        ),
        Mistake(
            "mean over the groups",
            "you average down the columns, over different puzzles, instead of along each group.",
            (lambda rewards: np.array(rewards) - np.mean(rewards, axis=0),),
        ),
        Mistake(
            "sign",
            "the sign is turned around: better than the group's mean must be positive.",
            (lambda rewards: -np.array(_centered(rewards)),),
        ),
        Mistake(
            "divided by the spread",
            "you also divide by the group's standard deviation, as GRPO was first written. Leave "
            "that out here; where all rewards are equal it even divides by zero.",
            (
                _over_spread(pstdev, 0.0),
                _over_spread(stdev, 0.0),
                _over_numpy,
                *(_over_spread(s, e) for s in (pstdev, stdev) for e in (1e-4, 1e-6, 1e-8)),
            ),
        ),
        Mistake(
            "leave one out",
            "you subtract the mean of the *other* answers. That is a good baseline too (notebook "
            "04 meets it), but here the group's mean includes the answer itself.",
            (
                lambda rewards: [
                    [r - (sum(group) - r) / (len(group) - 1) for r in group] for group in rewards
                ],
            ),
        ),
        Mistake(
            "sum instead of mean",
            "you subtract the group's sum; divide it by the number of answers first.",
            (lambda rewards: [[r - sum(group) for r in group] for group in rewards],),
        ),
        Mistake(
            "compared with the best",
            "you subtract the group's best reward, so no answer ever counts as better than usual.",
            (lambda rewards: [[r - max(group) for r in group] for group in rewards],),
        ),
        Mistake(
            "only praise",
            "you cut at zero. What is worse than the group's mean must become less likely, so its "
            "advantage is negative.",
            (lambda rewards: np.maximum(_centered(rewards), 0),),
        ),
        Mistake(
            "no baseline",
            "you give back the rewards; subtract from each the mean of its own group.",
            (lambda rewards: rewards,),
        ),
    ),
    "centers every group at zero, on four batches (in one of them nothing can be learned)",
)

# --- 5: the policy gradient


def _by_autograd(logits, actions, advantages):
    """The gradient of mean(advantage * log pi(action)), by torch."""
    theta = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    logprobs = theta.log_softmax(0)[torch.tensor(actions)]
    (logprobs * torch.tensor(advantages, dtype=torch.float64)).mean().backward()
    return theta.grad.tolist()


def _estimate(one, softmax=True, mean=True):
    """An estimate that adds up `one(is the action taken, pi of it, pi of the taken one)`."""

    def function(logits, actions, advantages):
        pi = torch.tensor(logits, dtype=torch.float64)
        pi = pi.softmax(0).tolist() if softmax else pi.tolist()
        sums = [
            sum(
                advantage * one(float(j == a), pi[j], pi[a])
                for a, advantage in zip(actions, advantages, strict=True)
            )
            for j in range(len(pi))
        ]
        return [s / len(actions) for s in sums] if mean else sums

    return function


reinforce_gradient = Exercise(
    "reinforce_gradient",
    (
        # Here the actions come exactly as often as the policy takes them (1/2, 1/4, 1/4): the
        # estimate is the exact gradient of the expected reward.
        ([math.log(2), 0.0, 0.0], [0, 0, 1, 2], [1.0, 1.0, 0.0, 4.0]),
        ([0.0, 0.0], [0], [1.0]),
        ([0.5, -1.0, 2.0], [2, 0, 1, 2, 2], [0.5, -0.5, 1.5, -2.0, 0.25]),
        ([-0.3, 0.7], [1, 0, 0], [1.0, 2.0, -1.0]),
    ),
    _by_autograd,
    (
        Mistake(
            "minus pi is missing",
            "you push up the action that was taken and forget that the others must go down: "
            "probabilities add up to one, so the gradient of log pi is (1 if taken else 0) *minus "
            "pi*.",
            (_estimate(lambda taken, p, p_taken: taken),),
        ),
        Mistake(
            "gradient of pi instead of log pi",
            "this is the gradient of pi, not of *log* pi: it is smaller by the factor pi(action). "
            "Likely actions are drawn more often already, the logarithm makes up for that.",
            (_estimate(lambda taken, p, p_taken: p_taken * (taken - p)),),
        ),
        Mistake(
            "sign",
            "the sign is turned around: this walks downhill. (A *loss* is minus the goal; here "
            "you write the gradient of the goal itself.)",
            (_estimate(lambda taken, p, p_taken: p - taken),),
        ),
        Mistake(
            "sum instead of mean",
            "you add the samples up; divide by their number, or the step grows with the batch.",
            (_estimate(lambda taken, p, p_taken: taken - p, mean=False),),
        ),
        Mistake(
            "advantages ignored",
            "you never use the advantages, so every action is made likelier, the bad ones too.",
            (
                lambda logits, actions, advantages: _estimate(lambda taken, p, _: taken - p)(
                    logits, actions, [1.0] * len(actions)
                ),
            ),
        ),
        Mistake(
            "logits are not probabilities",
            "you use the logits where the probabilities belong: apply the softmax first.",
            (_estimate(lambda taken, p, p_taken: taken - p, softmax=False),),
        ),
        Mistake(
            "only the action taken",
            "you move the logit of the action taken and leave the others at zero; each of them "
            "falls by its own pi.",
            (_estimate(lambda taken, p, p_taken: taken * (1 - p)),),
        ),
    ),
    "equals the gradient that torch finds, on four batches; in the first, where every action comes "
    "exactly as often as the policy takes it, that is the exact gradient of the expected reward",
)

EXERCISES = (is_right, returns, pass_at_k, group_advantages, reinforce_gradient)
