"""What two numbers can make, in the words of the chains."""

from __future__ import annotations

from itertools import combinations

from o1lib.tasks import oracle

# Values above this, and zero, are not followed: they win no puzzle of the ladder's 3 and 4 numbers.
LARGEST = 999


def results_of(x: int, y: int) -> list[int]:
    """What two numbers can make, in the order + - * /, without repeats, zeros and values above
    `LARGEST`.
    """
    found = []
    for _, _, _, value in oracle.combine(x, y):
        if 0 < value <= LARGEST and value not in found:
            found.append(value)
    return found


def equation(x: int, y: int, result: int) -> tuple[int, str, int, int]:
    """The first step on x and y that gives `result`. Raises `ValueError` if there is none."""
    for step in oracle.combine(x, y):
        if step[3] == result:
            return step
    raise ValueError(f"{x} and {y} cannot make {result}")


def words(numbers) -> str:
    return " ".join(map(str, numbers))


def pairs(numbers: tuple[int, ...]) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    """The distinct pairs of a sorted multiset, each with the sorted rest."""
    found = {}
    for i, j in combinations(range(len(numbers)), 2):
        found.setdefault(
            (numbers[i], numbers[j]), numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
        )
    return list(found.items())


def first_hit(found: list[int], wanted: list[int]) -> tuple[list[int], int | None]:
    """The values up to and including the first that is wanted, and that value."""
    for index, value in enumerate(found):
        if value in wanted:
            return found[: index + 1], value
    return found, None
