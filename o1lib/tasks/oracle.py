"""The exact truth about Countdown states: what can be reached, what is solvable, and by which
steps.

States are multisets of numbers; two numbers are replaced by a result until one is left. With
`integers=True` (the world of the traces) results are nonnegative integers, written as |a - b| and
exact division; otherwise they are exact fractions, kept as reduced pairs (numerator, denominator)
because Python's `Fraction` is ten times slower.

Everything is memoized on sorted tuples. Four numbers cost a millisecond, six numbers a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from math import gcd

OPS = "+-*/"


def combine(a: int, b: int) -> list[tuple[int, str, int, int]]:
    """All integer steps on two numbers as `(left, op, right, result)`, the larger number first."""
    a, b = max(a, b), min(a, b)
    steps = [(a, "+", b, a + b), (a, "-", b, a - b), (a, "*", b, a * b)]
    if b and a % b == 0:
        steps.append((a, "/", b, a // b))
    return steps


def splits(numbers: tuple) -> Iterator[tuple[tuple, tuple]]:
    """Every way to split a multiset into two nonempty parts, each unordered split once."""
    n = len(numbers)
    seen = set()
    for size in range(1, n // 2 + 1):
        for chosen in combinations(range(n), size):
            left = tuple(numbers[i] for i in chosen)
            right = tuple(numbers[i] for i in range(n) if i not in chosen)
            key = (left, right) if left <= right else (right, left)
            if key not in seen:
                seen.add(key)
                yield key


@lru_cache(maxsize=100_000)
def reachable(numbers: tuple[int, ...]) -> frozenset[int]:
    """All integers that the sorted multiset can be reduced to with nonnegative integer steps."""
    if len(numbers) == 1:
        return frozenset(numbers)
    values = set()
    for left, right in splits(numbers):
        for a in reachable(left):
            for b in reachable(right):
                values.update(step[3] for step in combine(a, b))
    return frozenset(values)


@lru_cache(maxsize=100_000)
def reachable_fractions(numbers: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    """All exact fractions, as reduced (numerator, denominator > 0), that the sorted multiset can be
    reduced to.
    """
    if len(numbers) == 1:
        return frozenset(((numbers[0], 1),))
    values = set()
    for left, right in splits(numbers):
        for p, q in reachable_fractions(left):
            for r, s in reachable_fractions(right):
                results = (
                    (p * s + r * q, q * s),
                    (p * s - r * q, q * s),
                    (r * q - p * s, q * s),
                    (p * r, q * s),
                    (p * s, q * r),
                    (r * q, s * p),
                )
                for num, den in results:
                    if den:
                        g = gcd(num, den) if den > 0 else -gcd(num, den)
                        values.add((num // g, den // g))
    return frozenset(values)


def _hits(a: int, target: int) -> Iterator[int]:
    """The numbers b for which some integer step on (a, b) gives the target."""
    yield from (target - a, a - target, a + target, target * a)
    if a:
        if target % a == 0:
            yield target // a
        if target and a % target == 0:
            yield a // target


@lru_cache(maxsize=1_000_000)
def solvable(numbers: tuple[int, ...], target: int, integers: bool = True) -> bool:
    """Whether the sorted multiset can be reduced to the (positive) target. The last step is solved
    for, not enumerated.
    """
    if len(numbers) == 1:
        return numbers[0] == target
    for left, right in splits(numbers):
        if len(left) > len(right):
            left, right = right, left
        if integers:
            values = reachable(right)
            for a in reachable(left):
                for b in _hits(a, target):
                    if b in values and any(step[3] == target for step in combine(a, b)):
                        return True
        else:
            values = reachable_fractions(right)
            for p, q in reachable_fractions(left):
                # b = t - a, a - t, a + t, then t a, t / a, a / t, which need a nonzero a.
                needs = [(target * q - p, q), (p - target * q, q), (target * q + p, q)]
                if p:
                    needs += [(target * p, q), (target * q, p), (p, q * target)]
                for num, den in needs:
                    g = gcd(num, den) if den > 0 else -gcd(num, den)
                    if (num // g, den // g) in values:
                        return True
    return False


def steps(numbers: tuple[int, ...]) -> Iterator[tuple[tuple[int, str, int, int], tuple[int, ...]]]:
    """Every distinct integer step from a sorted multiset, with the multiset that it leaves."""
    seen = set()
    for i, j in combinations(range(len(numbers)), 2):
        if (numbers[i], numbers[j]) in seen:
            continue
        seen.add((numbers[i], numbers[j]))
        rest = numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
        for step in combine(numbers[i], numbers[j]):
            yield step, tuple(sorted((*rest, step[3])))


def solutions(
    numbers: tuple[int, ...], target: int
) -> Iterator[tuple[tuple[int, str, int, int], ...]]:
    """Every sequence of integer steps that reduces the sorted multiset to the target, in canonical
    order.
    """
    if len(numbers) == 1:
        if numbers[0] == target:
            yield ()
        return
    for step, left in steps(numbers):
        if solvable(left, target):
            for rest in solutions(left, target):
                yield (step, *rest)


def count_solutions(numbers: tuple[int, ...], target: int) -> int:
    """The number of sequences that `solutions` would yield, without listing them."""
    return _count(tuple(sorted(numbers)), target)


@lru_cache(maxsize=100_000)
def _count(numbers: tuple[int, ...], target: int) -> int:
    if len(numbers) == 1:
        return int(numbers[0] == target)
    return sum(_count(left, target) for _, left in steps(numbers))


def expression(steps_taken: tuple[tuple[int, str, int, int], ...], numbers: tuple[int, ...]) -> str:
    """The expression that a complete sequence of steps builds, fully bracketed but for the
    outermost pair.
    """
    pool = [(number, str(number)) for number in numbers]
    for left, op, right, result in steps_taken:
        parts = []
        for operand in (left, right):
            # A result made earlier is used before an equal number of the problem: the chain reads
            # in order.
            index = max(i for i, (value, _) in enumerate(pool) if value == operand)
            parts.append(pool.pop(index)[1])
        pool.append((result, f"( {parts[0]} {op} {parts[1]} )"))
    text = pool[0][1]
    return text[2:-2] if text.startswith("( ") else text
