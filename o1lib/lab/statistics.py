"""Statistics of success rates: what a claim stands on."""

from __future__ import annotations

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
    """How often a positive item scores above a negative one (ties count half): the area under the ROC curve."""
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return float("nan")
    ahead, behind = scores[positive][:, None], scores[~positive][None, :]
    return float((ahead > behind).mean() + 0.5 * (ahead == behind).mean())
