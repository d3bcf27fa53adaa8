"""Statistics, each against counting, enumeration or a printed table."""

import math
from itertools import combinations, product

import numpy as np
import pytest

from o1lib.lab.statistics import (
    auc,
    interval,
    mcnemar,
    paired_bootstrap,
    pass_at_k,
    seeds_interval,
    t_quantile,
    told,
)


def test_pass_at_k_equals_counting():
    """Against all subsets of the samples."""
    samples = [1, 0, 0, 1, 0, 0]
    for k in range(1, 7):
        subsets = list(combinations(samples, k))
        assert pass_at_k(6, 2, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_at_k(6, 0, 6) == 0.0
    with pytest.raises(ValueError, match="need 1 <= k"):
        pass_at_k(4, 2, 5)


def test_interval_covers():
    low, high = interval(40, 100)
    assert low < 0.4 < high
    assert interval(0, 10)[0] == 0.0
    assert interval(10, 10)[1] == pytest.approx(1.0)
    assert interval(0, 0) == (0.0, 1.0)


def test_auc_counts_pairs():
    scores, positive = [0.1, 0.4, 0.4, 0.9, 0.2], [0, 1, 0, 1, 1]
    pairs = [(s, t) for s, p in zip(scores, positive, strict=True) if p
             for t, q in zip(scores, positive, strict=True) if not q]  # fmt: skip
    wins = sum(1.0 if s > t else 0.5 if s == t else 0.0 for s, t in pairs)
    assert auc(scores, positive) == pytest.approx(wins / len(pairs))
    assert math.isnan(auc([1, 2], [True, True]))


@pytest.mark.parametrize(
    ("degrees", "printed"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042)],
)
def test_t_is_the_printed_table(degrees, printed):
    assert t_quantile(0.975, degrees) == pytest.approx(printed, abs=5e-4)


def test_seeds_interval():
    values = [0.5, 0.6, 0.7]
    low, high = seeds_interval(values)
    half = 4.30265 * np.std(values, ddof=1) / math.sqrt(3)
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-5)
    assert seeds_interval([0.5]) == (-math.inf, math.inf)  # one run says nothing about others
    with pytest.raises(ValueError, match="at least one run"):
        seeds_interval([])


def test_seeds_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(2.0, 3.0, (2000, 5))
    covered = np.mean([low <= 2.0 <= high for low, high in map(seeds_interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 5), (3, 4), (1, 8), (0, 0), (6, 6)])
def test_mcnemar_is_the_sum_over_all_coin_tosses(only_a, only_b):
    a = [True] * only_a + [False] * only_b + [True] * 7 + [False] * 2
    b = [False] * only_a + [True] * only_b + [True] * 7 + [False] * 2
    n = only_a + only_b
    seen = abs(only_a - only_b)
    tosses = [abs(2 * sum(t) - n) >= seen for t in product((0, 1), repeat=n)]
    assert mcnemar(a, b) == pytest.approx(np.mean(tosses))
    assert mcnemar(b, a) == mcnemar(a, b)


def test_paired_bootstrap_against_all_resamples():
    """Four puzzles: the 256 equally likely resamples are enumerated."""
    a, b = [0, 0, 1, 0], [1, 0, 1, 1]
    means = sorted(np.mean(c) for c in product(np.subtract(b, a), repeat=4))
    difference, low, high = paired_bootstrap(a, b, seed=1)
    assert difference == 0.5
    assert low == np.quantile(means, 0.025)
    assert high == np.quantile(means, 0.975)
    assert paired_bootstrap(a, b, seed=1) == (difference, low, high)
    with pytest.raises(ValueError, match="equal length"):
        paired_bootstrap([1, 2], [1])


def test_told_says_mean_and_interval():
    """Student's interval of three runs, by hand: mean 1.1, standard deviation 0.1, t = 4.303."""
    assert told([1.0, 1.1, 1.2], 2) == "1.10 (0.85 to 1.35)"
