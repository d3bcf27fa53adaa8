"""The exercise about MCTS: where the next simulation goes, and what it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from o1lib.exercises.check import Exercise, Mistake

# A tree is a dict: the name of a node, and its children as pairs (name, prior).
_SMALL = {"root": [("a", 0.4), ("b", 0.6)], "a": [], "b": []}
_DEEP = {
    "root": [("a", 0.5), ("b", 0.3), ("c", 0.2)],
    "a": [("aa", 0.7), ("ab", 0.3)],
    "b": [("ba", 0.5), ("bb", 0.5)],
    "bb": [("bba", 0.9), ("bbb", 0.1)],
}
_VALUES = {
    "root": 0.5,
    "a": 0.6,
    "b": 0.4,
    "c": 0.25,
    "aa": 0.1,
    "ab": 0.3,
    "ba": 0.2,
    "bb": 0.8,
    "bba": 0.9,
    "bbb": 0.0,
}


class _Node:
    """A node that knows its parent and keeps the list of all that was backed up through it."""

    def __init__(self, name: str, prior: float = 1.0, parent: _Node | None = None):
        self.name, self.prior, self.parent = name, prior, parent
        self.seen: list[float] = []
        self.children: list[_Node] = []


def _with_objects(tree, values, simulations, c):
    root = _Node("root")
    nodes = {"root": root}
    for _ in range(simulations):
        here = root
        while here.children:
            n = len(here.seen)
            here = max(
                here.children,
                key=lambda child: (
                    (math.fsum(child.seen) / len(child.seen) if child.seen else 0.0)
                    + c * child.prior * n**0.5 / (1 + len(child.seen))
                ),
            )
        if not here.seen:
            here.children = [_Node(name, prior, here) for name, prior in tree.get(here.name, [])]
            nodes |= {child.name: child for child in here.children}
        value = values[here.name]
        while here:
            here.seen.append(value)
            here = here.parent
    return {name: len(node.seen) for name, node in nodes.items()}


def _mcts(
    curious: Callable = lambda n, child: math.sqrt(n) / (1 + child),
    unvisited: float = 0.0,
    use_prior: bool = True,
    use_c: bool = True,
    back: Callable = lambda path: path,
    carried: Callable = lambda path, values: [values[path[-1]]] * len(path),
    pool: Callable = lambda seen: sum(seen) / len(seen),
    to_the_end: bool = False,
    best: Callable = max,
):
    """A way to write the search; each argument is one decision, right by default."""

    def search(tree, values, simulations, c):
        seen: dict = {name: [] for name in values}
        for _ in range(simulations):
            path = ["root"]
            # A node that was not visited yet has no children yet.
            while tree.get(path[-1]) and (to_the_end or seen[path[-1]]):
                n = len(seen[path[-1]])

                def puct(pair, n=n):
                    child, prior = pair
                    q = pool(seen[child]) if seen[child] else unvisited
                    bonus = (prior if use_prior else 1) * curious(n, len(seen[child]))
                    return q + (c if use_c else 1) * bonus

                path.append(best(tree[path[-1]], key=puct)[0])
            for name, value in zip(path, carried(path, values), strict=True):
                if name in back(path):
                    seen[name].append(value)
        return {name: len(some) for name, some in seen.items()}

    return search


def visits(function: Callable, *case):
    """The visits as text, in the order of the tree; what is no table is given back as it is."""
    found = function(*case)
    if not isinstance(found, Mapping):
        return found
    return ", ".join(f"{name} {found.get(name, 0)}" for name in case[1])


def _reference(*case):
    return visits(_with_objects, *case)


_TWO = {name: _VALUES[name] for name in _SMALL}

visit_counts = Exercise(
    "visit_counts",
    (
        (_SMALL, _TWO, 1, 1.0),
        (_SMALL, _TWO, 12, 1.0),
        (_SMALL, _TWO, 12, 4.0),
        (_DEEP, _VALUES, 9, 0.5),
        (_DEEP, _VALUES, 40, 1.0),
        (_DEEP, _VALUES, 40, 0.0),
        (_DEEP, _VALUES, 60, 1.7),
    ),
    _reference,
    (
        Mistake(
            "root of the child's visits",
            "under the square root stand the visits of the *parent*. A child that is visited often "
            "must lose its bonus, and the others must gain.",
            (
                _mcts(lambda n, child: math.sqrt(child) / (1 + child)),
                _mcts(lambda n, child: math.sqrt(n / (1 + child))),
            ),
        ),
        Mistake(
            "no square root",
            "the visits of the parent stand under a square root.",
            (
                _mcts(lambda n, child: n / (1 + child)),
                _mcts(lambda n, child: math.sqrt(math.log(max(n, 1)) / (1 + child))),
                _mcts(lambda n, child: math.log(max(n, 1)) / (1 + child)),
            ),
        ),
        Mistake(
            "not divided by the child's visits",
            "the bonus does not shrink when a child is visited: divide it by 1 + its visits.",
            (_mcts(lambda n, child: math.sqrt(n)),),
        ),
        Mistake(
            "unvisited ones first",
            "you try every child once before any is visited twice. Here the Q of a child that was "
            "never visited is 0, and its prior says whether it is worth a visit.",
            (
                _mcts(unvisited=math.inf),
                _mcts(unvisited=1.0),
                _mcts(unvisited=0.5),
            ),
        ),
        Mistake(
            "prior ignored",
            "the prior plays no part. It is what the policy thinks of a step before anything was "
            "tried.",
            (_mcts(use_prior=False),),
        ),
        Mistake(
            "c ignored",
            "c plays no part.",
            (_mcts(use_c=False),),
        ),
        Mistake(
            "the parents not counted",
            "only the last node of the path is counted. Every node from the root to it gets one "
            "visit and the value.",
            (
                _mcts(back=lambda path: path[-1:]),
                _mcts(back=lambda path: path[1:]),
                _mcts(back=lambda path: path[-2:]),
            ),
        ),
        Mistake(
            "the last node not counted",
            "the node that was evaluated does not get its own visit and value.",
            (_mcts(back=lambda path: path[:-1] or path),),
        ),
        Mistake(
            "everyone's own value",
            "each node adds its *own* value. What a simulation brings up is the value of the node "
            "where it ended, the same for the whole path.",
            (_mcts(carried=lambda path, values: [values[name] for name in path]),),
        ),
        Mistake(
            "signs of a game for two",
            "your value changes its sign from level to level. That is for games of two players, "
            "where what is good for one is bad for the other; here there is one.",
            (
                _mcts(
                    carried=lambda path, values: [
                        values[path[-1]] * (-1) ** i for i in range(len(path))
                    ][::-1]
                ),
                _mcts(
                    carried=lambda path, values: [
                        values[path[-1]] * (-1) ** i for i in range(len(path))
                    ]
                ),
            ),
        ),
        Mistake(
            "sum instead of mean",
            "your Q is the sum of the values and grows with every visit. It is their mean.",
            (_mcts(pool=sum),),
        ),
        Mistake(
            "the best instead of the mean",
            "your Q is the best value that was found below, or the last one. It is the mean.",
            (_mcts(pool=max), _mcts(pool=lambda seen: seen[-1])),
        ),
        Mistake(
            "down to a leaf at once",
            "your simulations run down to a leaf of the tree at once. A simulation ends at the "
            "first node that has never been visited.",
            (_mcts(to_the_end=True),),
        ),
        Mistake(
            "the least promising",
            "you go to the child with the *lowest* score.",
            (_mcts(best=min),),
        ),
    ),
    "visits the same nodes as a tree of objects does, in seven searches",
    visits,
    "the visits ",
)
