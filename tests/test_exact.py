"""Exact values: against closed forms, brute force, simulation and the model's own probabilities."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lib.model.policy import Policy
from o1lib.reward.exact import enumerate_values
from o1lib.reward.markov import (
    chain_values,
    model_steps,
    optimal_values,
    policy_values,
    state_graph,
    uniform_steps,
)
from o1lib.tasks import Arithmetic, Countdown, Jugs
from o1lib.tasks.space import Space

JUGS = Jugs(2, high=7)
PUZZLE = JUGS.problem([3, 5], 4)


@pytest.fixture(scope="module")
def policy():
    return Policy.load("nano-think", bf16=False)


# --- chains, in closed form


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.1, 1.0))
@settings(max_examples=50, deadline=None)
def test_three_states(p, q, gamma):
    """s goes on to t with p, t to the goal with q, both else back to the beginning: by hand
    V(s) = p g V(t) + (1 - p) g V(s) and V(t) = q g + (1 - q) g V(s).
    """
    transitions = np.array([[1 - p, p, 0], [1 - q, 0, q], [0, 0, 0]])
    values = chain_values(transitions, np.array([0, 0, 1.0]), gamma)
    s = p * q * gamma**2 / (1 - (1 - p) * gamma - p * (1 - q) * gamma**2)
    assert values == pytest.approx([s, q * gamma + (1 - q) * gamma * s, 1.0])


def test_the_time_to_leave_a_walk():
    """A fair walk on 0..n, ended at both ends, takes k (n - k) steps from k, and ends at n with
    probability k / n (Feller, vol. 1, XIV).
    """
    n = 7
    walk = np.zeros((n + 1, n + 1))
    for k in range(1, n):
        walk[k, k - 1] = walk[k, k + 1] = 0.5
    inside = np.array([0.0] + [1.0] * (n - 1) + [0.0])
    assert chain_values(walk, inside) == pytest.approx([k * (n - k) for k in range(n + 1)])
    assert chain_values(walk, np.eye(n + 1)[n]) == pytest.approx([k / n for k in range(n + 1)])


def test_chains_without_end():
    circle = np.array([[0, 1.0], [1.0, 0]])
    assert chain_values(circle, np.zeros(2)).tolist() == [0, 0]
    assert chain_values(circle, np.array([1.0, 0]), 0.5) == pytest.approx([4 / 3, 2 / 3])
    with pytest.raises(ValueError, match="never ends is paid"):
        chain_values(circle, np.array([1.0, 0]))
    with pytest.raises(ValueError, match="at most one"):
        chain_values(np.array([[1.5]]), np.zeros(1))
    with pytest.raises(ValueError, match="gamma"):
        chain_values(circle, np.zeros(2), 1.5)
    with pytest.raises(ValueError, match="3 rewards need 3 x 3"):
        chain_values(circle, np.zeros(3))


# --- policies on the graph of a task


def biased(state, steps):
    """Some policy of the state alone, that leaves the steps with probability 0.02."""
    weights = [1 + sum(map(ord, f"{state} {step.text}")) % 5 for step in steps]
    return [0.98 * weight / sum(weights) for weight in weights]


def simulated(task, problem, policy, gamma, step_reward, n, seed=0):
    """Returns of n episodes."""
    rng, returns = random.Random(seed), []
    for _ in range(n):
        state, total, factor = task.initial(problem), 0.0, 1.0
        while not task.is_solved(state):
            steps = task.legal_steps(state)
            if not steps:
                break
            step = rng.choices([*steps, None], [*policy(state, steps), 0.02])[0]
            if step is None:
                break
            total += factor * step_reward
            factor *= gamma
            state = task.apply(state, step)
        returns.append(total + factor * task.is_solved(state))
    return np.array(returns)


@pytest.mark.parametrize(("gamma", "step_reward"), [(1.0, 0.0), (0.9, 0.0), (0.97, -0.05)])
@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (JUGS, PUZZLE),
        (Countdown(3), Countdown(3).train_problem(3)),
        (Arithmetic(4), Arithmetic(4).train_problem(3)),
    ],
    ids=["jugs", "countdown", "arithmetic"],
)
def test_a_linear_solve_equals_simulation(task, problem, gamma, step_reward):
    graph = state_graph(task, problem)
    found = policy_values(graph, biased, gamma, step_reward)
    returns = simulated(task, problem, biased, gamma, step_reward, 3000)
    error = returns.std() / math.sqrt(len(returns)) + 1e-9
    if step_reward:  # what is left out takes no step, and the simulation pays for none either
        assert found.left_out[0] > 0
    assert abs(found.values[0] - returns.mean()) < 4.5 * error
    for i, steps in enumerate(graph.steps):  # Bellman, by hand
        if steps:
            chances = np.array(biased(graph.states[i], steps))
            assert found.values[i] == pytest.approx(chances @ found.q[i])


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("task", [JUGS, Countdown(3), Arithmetic(4)], ids=repr)
def test_the_best_values_are_the_oracles_distances(task, gamma):
    for problem in task.problems("train", 3):
        graph = state_graph(task, problem)
        best = optimal_values(graph, gamma)
        costly = optimal_values(graph, 1.0, -1 / 64)
        for i, state in enumerate(graph.states):
            distance = task.distance(state)
            assert best.values[i] == pytest.approx(0 if distance is None else gamma**distance)
            if distance is not None and not isinstance(task, Countdown):
                assert costly.values[i] == pytest.approx(1 - distance / 64)
        uniform = policy_values(graph, uniform_steps, gamma)
        assert (uniform.values <= best.values + 1e-9).all()
        assert (uniform.left_out == 0).all()


def test_the_greedy_policy_of_the_best_q_has_the_best_values():
    graph = state_graph(JUGS, PUZZLE)
    best = optimal_values(graph, 0.9)
    q = dict(zip(graph.states, best.q, strict=True))

    def greedy(state, steps):
        return [float(i == int(np.argmax(q[state]))) for i in range(len(steps))]

    assert policy_values(graph, greedy, 0.9).values == pytest.approx(best.values)


def test_a_policy_that_goes_round_in_circles_never_wins():
    """Fill, empty, fill: paid by the step it farms without end, a discount apart."""
    graph = state_graph(JUGS, PUZZLE)

    def circle(state, steps):
        wanted = "empty a" if state.amounts[0] else "fill a"
        return [float(step.action == wanted) for step in steps]

    assert policy_values(graph, circle).values[0] == 0
    assert policy_values(graph, circle, 0.9, 0.1).values[0] == pytest.approx(0.1 / (1 - 0.9))
    assert optimal_values(graph, 0.99, 0.1).values[0] == pytest.approx(0.1 / (1 - 0.99))
    with pytest.raises(ValueError, match="never ends is paid"):
        policy_values(graph, circle, 1.0, 0.1)
    with pytest.raises(ValueError, match="positive step reward needs"):
        optimal_values(graph, 1.0, 0.1)


def test_what_cannot_win_pays_for_ever():
    graph = state_graph(Jugs(), Jugs().problem([4, 6], 3))
    assert optimal_values(graph).values.tolist() == [0.0] * len(graph.states)
    assert optimal_values(graph, 0.9, -0.1).values == pytest.approx(-1.0)
    assert optimal_values(graph, 1.0, -0.1).values[0] == -np.inf


def test_graphs_and_policies_are_checked():
    with pytest.raises(ValueError, match="more than 10 states"):
        state_graph(JUGS, PUZZLE, max_states=10)
    graph = state_graph(JUGS, PUZZLE)
    for wrong in (lambda s, steps: [1.0] * len(steps), lambda s, steps: [0.5],
                  lambda s, steps: [-1.0] * len(steps),
                  lambda s, steps: [math.nan] * len(steps)):  # fmt: skip
        with pytest.raises(ValueError, match="gives no probabilities for the steps"):
            policy_values(graph, wrong)


# --- the texts of a model


@pytest.mark.parametrize(
    ("task", "depth"), [(Countdown(3), None), (Arithmetic(4), None), (JUGS, 4)], ids=repr
)
def test_listed_values_equal_the_models_own_probabilities(policy, task, depth):
    """The root's value is the sum over all right responses that are listed of the probability of
    the whole text, by the model's own forward pass.
    """
    short = [JUGS.problem([4, 6], 2)] if task is JUGS else []  # two steps solve it
    for problem in [*task.problems("train", 2), *short]:
        [nodes] = enumerate_values(policy, task, [problem], max_depth=depth)
        space, total = Space(task, problem), 0.0
        for valued in nodes:
            if not valued.children and task.is_solved(valued.node.state):
                response = space.response(valued.node)
                assert task.verify(problem, response)
                ids = policy.tokenizer.encode(response, add_special_tokens=False)
                ids.append(policy.tokenizer.eos_token_id)
                [logprobs] = policy.logprobs([space.prompt], [ids])
                total += math.exp(float(logprobs.sum()))
        assert nodes[0].value == pytest.approx(total, rel=1e-3, abs=1e-9)
        for valued in nodes:
            assert valued.value + valued.left_out <= 1 + 1e-4
            assert 0 <= valued.left_out <= 1 + 1e-4
            assert valued.alive == task.solvable(valued.node.state)


def test_the_value_is_a_lower_bound_and_left_out_bounds_the_rest(policy):
    """Sampled responses are right at least as often as the value, at most by `left_out` more."""
    task, n = Arithmetic(4), 300
    for problem in task.problems("val_inputs", 3):
        [nodes] = enumerate_values(policy, task, [problem])
        prompt = Space(task, problem).prompt
        [group] = policy.sample([prompt], n, max_new_tokens=80, seed=1)
        mean = sum(bool(task.verify(problem, r.text)) for r in group) / n
        error = 4 * math.sqrt(0.25 / n)
        assert nodes[0].value - error <= mean <= nodes[0].value + nodes[0].left_out + error


def test_trees_that_cycle_need_a_depth(policy):
    with pytest.raises(ValueError, match="more than 200 nodes: give a max_depth"):
        enumerate_values(policy, JUGS, [PUZZLE], max_nodes=200)
    values, left_out = [], []
    for depth in (2, 3, 4):
        [nodes] = enumerate_values(policy, JUGS, [JUGS.problem([4, 6], 2)], max_depth=depth)
        values.append(nodes[0].value)
        left_out.append(nodes[0].left_out)
    assert values == sorted(values)
    assert left_out == sorted(left_out, reverse=True)


def test_a_model_asked_anew_in_every_state(policy):
    """Its probabilities are those of the canonical step after the prompt that states the state."""
    task = Countdown(3)
    problem = task.problems("val_inputs", 1)[0]
    graph = state_graph(task, problem)
    steps = model_steps(policy, task, graph)
    found = policy_values(graph, steps)
    [tree] = enumerate_values(policy, task, [problem])
    assert steps(problem, graph.steps[0]) == pytest.approx(
        [child.probability for child in tree[0].children], rel=1e-4
    )
    index = next(i for i, s in enumerate(graph.states) if len(s.numbers) == 2 and graph.steps[i])
    state, space = graph.states[index], Space(task, graph.states[index])
    texts = [space.child(space.root, step).prefix for step in graph.steps[index]]
    chances = []
    for text in texts:
        ids = policy.tokenizer.encode(text, add_special_tokens=False)
        chances.append(math.exp(float(policy.logprobs([space.prompt], [ids])[0].sum())))
    assert steps(state, graph.steps[index]) == pytest.approx(chances, rel=1e-3, abs=1e-9)
    assert (found.values + found.left_out <= 1 + 1e-4).all()
