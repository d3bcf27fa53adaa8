"""Exact values on the graph of states: of any policy that looks at the state alone, and the best.

`o1lib.reward.exact` lists *texts*, a tree without end where steps can cycle. A policy whose next
step depends on the state alone needs no tree: with P the probabilities of going from state to
state and r what a state pays, its values are the solution of one linear system (Sutton & Barto,
Eq. 3.14, in matrix form)

    V = r + gamma P V        that is        (I - gamma P) V = r.

A solved state pays one, for its answer, and ends the episode; every step pays `step_reward` and
delays what follows by one factor `gamma`. So V of the best policy without a step reward is
`gamma ** distance`.

Exact for *Markov* policies: a function of the state, or a model that is asked anew in every state
(`model_steps`). A model that reads its own chain depends on the whole text: list that with
`enumerate_values` up to a depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_text
from o1lib.tasks.space import Space

# (state, its legal steps) -> a probability for each; together one, or less where the policy may
# also do something else, which never wins.
StepPolicy = Callable[[Any, Sequence[Any]], Sequence[float]]


@dataclass(frozen=True)
class StateGraph:
    """The S states that steps can lead to, and where every step leads.

    Args:
        states: in breadth-first order, the beginning first.
        steps: for every state its legal steps.
        after: for every state the index of the state after each step.
        solved: for every state whether the goal is reached.
    """

    states: tuple[Hashable, ...]
    steps: tuple[tuple[Any, ...], ...]
    after: tuple[tuple[int, ...], ...]
    solved: tuple[bool, ...]


@dataclass(frozen=True)
class StateValues:
    """The values of one policy on a graph.

    Args:
        graph: its states and steps.
        values: V, shape (S,).
        q: for every state Q of each step, `step_reward + gamma V(after)`.
        left_out: shape (S,): the probability that the policy ever does something that is no legal
            step; that counts as lost.
    """

    graph: StateGraph
    values: np.ndarray
    q: tuple[np.ndarray, ...]
    left_out: np.ndarray


def state_graph(task, problem, max_states: int = 5_000) -> StateGraph:
    """Every state of a `StepTask` that can be reached from a problem.

    Raises `ValueError` when there are more than `max_states` (a linear solve takes S^3 operations).
    """
    states = [task.initial(problem)]
    index, steps, after = {states[0]: 0}, [], []
    for state in states:  # grows while it is read
        legal = () if task.is_solved(state) else tuple(task.legal_steps(state))
        steps.append(legal)
        reached = [task.apply(state, step) for step in legal]
        for new in reached:
            if new not in index:
                index[new] = len(states)
                states.append(new)
        after.append(tuple(index[new] for new in reached))
        if len(states) > max_states:
            raise ValueError(f"'{problem}' has more than {max_states} states")
    solved = tuple(map(task.is_solved, states))
    return StateGraph(tuple(states), tuple(steps), tuple(after), solved)


def chain_values(transitions: np.ndarray, rewards: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """V of a Markov chain: the smallest solution of V = r + gamma P V.

    Args:
        transitions: P, shape (S, S), rows that sum to one or less; the rest ends the episode.
        rewards: r, shape (S,): the expected reward of leaving, or ending in, a state.
        gamma: the discount, in [0, 1].

    Without a discount a state that never comes to an end has the value 0 if nothing is paid on its
    way. Raises `ValueError` if something is: its value is infinite, or has no limit.
    """
    transitions, rewards = np.asarray(transitions, float), np.asarray(rewards, float)
    size = len(rewards)
    if transitions.shape != (size, size):
        raise ValueError(f"{size} rewards need {size} x {size} transitions")
    if (transitions < 0).any() or (transitions.sum(1) > 1 + 1e-9).any():
        raise ValueError("every row of the transitions must be probabilities of at most one in all")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be in [0, 1], got {gamma}")
    ending = np.ones(size, bool) if gamma < 1 else _may_end(transitions)
    if rewards[~ending].any():
        raise ValueError("a chain that never ends is paid without end: take a gamma below one")
    values = np.zeros(size)
    inside = transitions[np.ix_(ending, ending)]
    values[ending] = np.linalg.solve(np.eye(int(ending.sum())) - gamma * inside, rewards[ending])
    return values


def _may_end(transitions: np.ndarray) -> np.ndarray:
    """Which states reach, with some probability, one where the episode may end."""
    ending = transitions.sum(1) < 1 - 1e-12
    while True:
        more = ending | (transitions @ ending.astype(float) > 0)
        if (more == ending).all():
            return ending
        ending = more


def policy_values(
    graph: StateGraph, policy: StepPolicy, gamma: float = 1.0, step_reward: float = 0.0
) -> StateValues:
    """V and Q of a policy that looks at the state alone, by a linear solve.

    Raises `ValueError` where the policy's numbers are no probabilities, and where a chain that
    never ends is paid for every step without a discount.
    """
    size = len(graph.states)
    transitions, outside = np.zeros((size, size)), np.zeros(size)
    for i, (state, steps) in enumerate(zip(graph.states, graph.steps, strict=True)):
        if not steps:
            continue
        found = np.asarray(policy(state, steps), float)
        if found.shape != (len(steps),) or not ((found >= 0).all() and found.sum() <= 1 + 1e-6):
            raise ValueError(f"the policy gives no probabilities for the steps from '{state}'")
        found = found / max(1.0, found.sum())  # rounding may lie above one
        np.add.at(transitions[i], list(graph.after[i]), found)
        outside[i] = max(0.0, 1.0 - found.sum())
        outside[i] *= outside[i] > 1e-12
    taken = transitions.sum(1)
    values = chain_values(transitions, np.array(graph.solved) + step_reward * taken, gamma)
    left_out = chain_values(transitions, outside, 1.0)
    return StateValues(graph, values, _q(graph, values, gamma, step_reward), left_out)


def optimal_values(
    graph: StateGraph, gamma: float = 1.0, step_reward: float = 0.0, tolerance: float = 1e-12
) -> StateValues:
    """V* and Q*, by value iteration: V(s) = max over steps of step_reward + gamma V(after).

    Source: Sutton & Barto (2018), section 4.4. Raises `ValueError` for a positive step reward
    without a discount, where going round in circles for ever would be best.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be in [0, 1], got {gamma}")
    if step_reward > 0 and gamma == 1:
        raise ValueError("a positive step reward needs a gamma below one")
    values = np.array(graph.solved, float)
    if step_reward < 0:
        # From below, as a policy that gives up for nothing is not on offer: a state that cannot win
        # pays for every step, for ever.
        endless = -np.inf if gamma == 1 else step_reward / (1 - gamma)
        values = np.array(
            [
                float(won) if won or not steps else endless
                for won, steps in zip(graph.solved, graph.steps, strict=True)
            ]
        )
    while True:
        q = _q(graph, values, gamma, step_reward)
        new = np.array(
            [some.max() if len(some) else old for some, old in zip(q, values, strict=True)]
        )
        moved = new[new != values] - values[new != values]  # infinities that stay do not move
        values = new
        if not len(moved) or np.abs(moved).max() < tolerance:
            q = _q(graph, values, gamma, step_reward)
            return StateValues(graph, values, q, np.zeros(len(values)))


def _q(graph: StateGraph, values: np.ndarray, gamma: float, step_reward: float):
    return tuple(step_reward + gamma * values[list(after)] for after in graph.after)


def uniform_steps(state: Any, steps: Sequence[Any]) -> list[float]:
    """The policy that takes every legal step equally often."""
    return [1 / len(steps)] * len(steps)


def model_steps(policy: Policy, task, graph: StateGraph, instruction: str = "solve") -> StepPolicy:
    """The policy that asks a model anew in every state: the state is the problem of its prompt, and
    the probability of a step that of its canonical text at the beginning of the response.
    """
    inner = [i for i, steps in enumerate(graph.steps) if steps]
    spaces = [Space(task, graph.states[i], instruction) for i in inner]
    texts = [
        [space.continuation(space.root, step) for step in graph.steps[i]]
        for i, space in zip(inner, spaces, strict=True)
    ]
    found = policy.continuation_logprobs(
        [policy.encode(space.prompt) for space in spaces],
        [[list(encode_text(policy.tokenizer, text)) for text in some] for some in texts],
    )
    table = {
        graph.states[i]: [math.exp(logprob) for logprob in logprobs]
        for i, logprobs in zip(inner, found, strict=True)
    }
    return lambda state, steps: table[state]
