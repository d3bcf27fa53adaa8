"""Statistics of success rates: what a claim stands on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that at least one of k of n samples is right, of which `correct` are: the unbiased
    estimate.

    Source: Chen et al. (2021), arXiv 2107.03374, equation 1.
    """
    if not 1 <= k <= n or not 0 <= correct <= n:
        raise ValueError(
            f"need 1 <= k <= n and 0 <= correct <= n, got n={n}, correct={correct}, k={k}"
        )
    miss = 1.0
    for i in range(k):
        miss *= max(0, n - correct - i) / (n - i)
    return 1.0 - miss


def doublings(n: int) -> list[int]:
    """1, 2, 4, ... up to n."""
    return [2**i for i in range(n.bit_length())]


def pass_rates(counts: Sequence[tuple[int, int]]) -> dict[int, float]:
    """The mean of pass@k over problems for k = 1, 2, 4, ... up to the fewest samples; of every
    problem its samples and how many of them are right.
    """
    least = min(n for n, _ in counts)
    return {k: sum(pass_at_k(n, c, k) for n, c in counts) / len(counts) for k in doublings(least)}


def interval(correct: float, n: int) -> tuple[float, float]:
    """The 95% Wilson interval of a success rate of `correct` out of `n`.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if n == 0:
        return 0.0, 1.0
    z, p = 1.96, correct / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, center - half), min(1.0, center + half)


def auc(scores, positive) -> float:
    """How often a positive item scores above a negative one (ties count half): the area under the
    ROC curve.
    """
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return float("nan")
    ahead, behind = scores[positive], np.sort(scores[~positive])
    below = np.searchsorted(behind, ahead, "left")
    not_above = np.searchsorted(behind, ahead, "right")  # those below it, and its equals
    return float((below + not_above).mean() / (2 * len(behind)))


def seeds_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of the mean over training runs: mean -+ t s / sqrt(n), n - 1 degrees.

    One run says nothing about other runs: the interval is then all numbers.

    Source: Student (1908), "The probable error of a mean".
    """
    values = np.asarray(values, float)
    if values.size == 0:
        raise ValueError("an interval over runs needs at least one run")
    if values.size == 1:
        return -math.inf, math.inf
    mean = float(values.mean())
    half = t_quantile(0.975, values.size - 1) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return mean - half, mean + half


def told(values: Sequence[float], digits: int = 3) -> str:
    """The mean over training runs and its 95% interval, as text: `0.918 (0.905 to 0.931)`."""
    low, high = seeds_interval(values)
    return f"{float(np.mean(values)):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def t_probability(t: float, degrees: int) -> float:
    """P(T <= t) of Student's distribution with a whole number of degrees of freedom.

    Source: the finite sums of Abramowitz and Stegun (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if degrees % 2 else (1.0, 0.0)
    for k in range(degrees % 2 + 2, degrees + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    central = 2 / math.pi * (angle + sine * total) if degrees % 2 else sine * total
    return 0.5 + central / 2


def t_quantile(p: float, degrees: int) -> float:
    """The t with P(T <= t) = p, by bisection."""
    if degrees < 1 or not 0.5 <= p < 1:
        raise ValueError(f"need degrees >= 1 and 0.5 <= p < 1, got {degrees} and {p}")
    low, high = 0.0, 1.0
    while t_probability(high, degrees) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, degrees) < p else (low, middle)
    return high


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> float:
    """The exact two-sided p-value that two success rates on the same puzzles are equal.

    Only the puzzles count that one of the two solves: under equality each is a fair coin.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions"; the exact binomial form.
    """
    a, b = _paired(a, b)
    a, b = a.astype(bool), b.astype(bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**n)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], seed: int = 0, samples: int = 10_000
) -> tuple[float, float, float]:
    """The mean of b - a over the same puzzles, and its 95% interval: (difference, low, high).

    Puzzles are drawn with replacement; the interval is between the 2.5% and 97.5% quantiles.

    Source: Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    a, b = _paired(a, b)
    difference, rng = b.astype(float) - a.astype(float), np.random.default_rng(seed)
    draws = rng.integers(0, len(difference), (samples, len(difference)), dtype=np.int32)
    low, high = np.quantile(difference[draws].mean(1), [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def _paired(a, b) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(
            f"a paired comparison needs two lists of equal length, got {a.shape} and {b.shape}"
        )
    return a, b
