"""Four ways to credit the steps of a chain, in one loop on the same samples: what is a step worth?

A chain of `solve` is a few steps and an answer, and only the whole is paid. The *outcome* credits
every token with the whole chain's luck. A *process* credit asks at the end of every step for the
value V of what is written, and gives the step what it changed (the roadmap, section 4):

    A(step) = V(after the step) - V(before it),    and after the last step stands the outcome,

so that the credits of a chain add up to its outcome - V(start). V is here estimated by rollouts
(VinePPO: Kazemnejad et al. 2024, arXiv 2410.01679), read from a learned head, or exact.

It can be exact because the reward pays for canonical chains alone (`canonical_reward`): a puzzle of
three numbers has about two of them that win, V(text) is the probability that the policy goes on to
one, and the gradient of J, the mean of V(start), is that of a short sum. Nothing is left out; what
leaves the canonical texts is worth zero. Success is measured by the ordinary checker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import torch

from o1lib.lab.experiments import Experiment
from o1lib.learning.advantages import gae, leave_one_out
from o1lib.learning.collect import Problems, rollouts, training_problems
from o1lib.learning.completions import Batch, Completion, Rows, critic_values
from o1lib.learning.loop import Collector, learn
from o1lib.learning.losses import ppo, reinforce, value_loss
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, Update, both, fit
from o1lib.model.heads import ValueHead
from o1lib.model.policy import Policy
from o1lib.model.requests import Sample
from o1lib.model.tokenizer import encode_text
from o1lib.reward.outcome import Reward
from o1lib.tasks.countdown import Countdown
from o1lib.tasks.space import Space

LONGEST = 48  # tokens of a chain; a canonical one of three numbers has about 30
SPLITS = {"new numbers": "val_inputs", "held-out goals": "val_targets"}

# (learner, batch, the space of every group) -> for every row one number, or one per token, and how
# many tokens were sampled to find them
Credit = Callable[[Learner, Batch, Sequence[Space]], tuple[list[torch.Tensor], int]]
# the same -> for every row V where each of its steps begins
Values = Callable[[Learner, Batch, Sequence[Space]], tuple[list[list[float]], int]]


# --- the exact values


def canonical_reward(task) -> Reward:
    """One for a chain of legal canonical steps that wins, with the answer that they spell out."""

    def checked(problems: Sequence, responses: Sequence[str]) -> list[float]:
        found = []
        for problem, response in zip(problems, responses, strict=True):
            space = Space(task, problem)
            last = space.read(response)[-1]
            found.append(float(task.is_solved(last.state) and space.response(last) == response))
        return found

    return checked


def winning_texts(policy: Policy, space: Space) -> list[tuple[int, ...]]:
    """The token ids of all canonical chains that win, each with its answer and the end token."""
    found = []
    for steps in space.task.solutions(space.root.state):
        node = space.root
        for step in steps:
            node = space.child(node, step)
        found.append(encode_text(policy.tokenizer, f"{space.response(node)} <eos>"))
    return [tuple(ids) for ids in found]


def exact_values(policy: Policy, spaces: Sequence[Space]) -> list[dict[tuple[int, ...], float]]:
    """For every space V of every text (token ids) that can still win:

    V(text) = sum over winning chains that begin with it of p(the rest | text). All other texts are
    worth zero. The same numbers as `o1lib.reward.exact.enumerate_values`, without its losing nodes.
    """
    rows = [(i, ids) for i, space in enumerate(spaces) for ids in winning_texts(policy, space)]
    logprobs = policy.logprobs([spaces[i].prompt for i, _ in rows], [ids for _, ids in rows])
    tables: list[dict] = [{} for _ in spaces]
    for (i, ids), row in zip(rows, logprobs, strict=True):
        to_go = [*row.flip(0).cumsum(0).flip(0).tolist(), 0.0]  # log p(the rest)
        for t, logprob in enumerate(to_go):
            tables[i][ids[:t]] = tables[i].get(ids[:t], 0.0) + math.exp(logprob)
    return tables


def exact_gradient(policy: Policy, spaces: Sequence[Space]) -> torch.Tensor:
    """The gradient of J, the mean over spaces of V(start), in all weights as one vector."""
    wins = [
        Completion(policy.encode(space.prompt), ids)
        for space in spaces
        for ids in winning_texts(policy, space)
    ]
    total = Rows(wins, policy.model).logprobs.sum(1).exp().sum() / len(spaces)
    return _gradient(policy, total)


# --- the credits


def step_starts(policy: Policy, ids: Sequence[int]) -> list[int]:
    """How many tokens of a chain are written where each of its steps begins, its answer included:
    zero, and behind every `;` and `</think>`.
    """
    closing = policy.tokenizer.convert_tokens_to_ids([";", "</think>"])
    return [0] + [t for t in range(1, len(ids)) if ids[t - 1] in closing]


def step_advantages(
    values: Sequence[float], starts: Sequence[int], n: int, outcome: float
) -> torch.Tensor:
    """A_t = V(after the step of token t) - V(before it), shape (n,) for n tokens; after the last
    step stands the outcome.
    """
    change = torch.tensor([*values, outcome]).diff()
    return change.repeat_interleave(torch.tensor([*starts, n]).diff())


def process(values: Values) -> Credit:
    """The credit of steps by the values of what is written."""

    def credit(learner: Learner, batch: Batch, spaces: Sequence[Space]):
        found, tokens = values(learner, batch, spaces)
        return [
            step_advantages(row, _starts(learner, c), len(c.completion_ids), c.reward)
            for row, c in zip(found, batch.rows, strict=True)
        ], tokens

    return credit


def outcome(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """R - mean R of the other samples, for all tokens: n / (n - 1) times the advantage over the
    group's mean, so that its mean is the gradient of J as that of the others is.
    """
    return leave_one_out(batch), 0


def exact_baseline(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """R - V(start), for all tokens: still the outcome, with the best that a baseline can know."""
    starts = [table.get((), 0.0) for table in exact_values(learner.policy, spaces)]
    return [torch.tensor(c.reward - starts[c.group]) for c in batch.rows], 0


def by_exact_values(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """V where each step begins, as it is."""
    tables = exact_values(learner.policy, spaces)
    return [
        [tables[c.group].get(tuple(c.completion_ids[:t]), 0.0) for t in _starts(learner, c)]
        for c in batch.rows
    ], 0


def by_head(learner: Learner, batch: Batch, spaces: Sequence[Space]):
    """V where each step begins, as the critic reads it."""
    return [
        [float(values[t]) for t in _starts(learner, c)]
        for c, values in zip(batch.rows, batch.values, strict=True)
    ], 0


def by_rollouts(n: int = 4) -> Values:
    """V where each step begins: the share of `n` fresh ways to go on that win. What several chains
    have begun alike is asked once.
    """

    def values(learner: Learner, batch: Batch, spaces: Sequence[Space]):
        texts = [
            [(c.group, tuple(c.completion_ids[:t])) for t in _starts(learner, c)]
            for c in batch.rows
        ]
        asked = list(dict.fromkeys(text for row in texts for text in row))
        requests = [Sample(spaces[i].prompt, ids, n, 1.0, LONGEST - len(ids)) for i, ids in asked]
        noise = (1 << 30) + learner.step  # not that of the samples themselves
        groups = learner.policy.sample_each(requests, [noise] * len(asked))
        found, tokens = {}, 0
        for (i, ids), group in zip(asked, groups, strict=True):
            reward, problems = canonical_reward(spaces[i].task), [spaces[i].problem] * n
            found[i, ids] = fmean(reward(problems, [response.text for response in group]))
            tokens += sum(len(response.token_ids) for response in group)
        return [[found[text] for text in row] for row in texts], tokens

    return values


def _starts(learner: Learner, completion: Completion) -> list[int]:
    return step_starts(learner.policy, completion.completion_ids)


# --- how good is a credit? its gradient against the exact one


def credit_gradient(policy: Policy, batch: Batch, advantages) -> torch.Tensor:
    """The policy gradient of a batch, in all weights as one vector: the mean over its rows of
    sum over t of A_t grad log p(token t).
    """
    rows = Rows(batch.rows, policy.model, advantages=advantages)
    return _gradient(policy, -reinforce(rows).sum() / len(batch.rows))


def gradient_quality(
    learner: Learner,
    credits: Mapping[str, Credit],
    spaces: Sequence[Space],
    repeats: int = 8,
    n: int = 8,
) -> dict[str, float]:
    """For each credit, on the same samples (`n` of each space, again and again), of its gradients g
    beside the exact gradient of J:

    * `cosine`: the mean cosine;
    * `variance`: the mean of |g - mean g|^2, over |exact|^2;
    * `bias`: an estimate without bias of |E g - exact|^2, over |exact|^2 (it may be negative).
    """
    policy, task = learner.policy, spaces[0].task
    collect = chains(task, lambda step: [space.problem for space in spaces], n)
    exact = exact_gradient(policy, spaces)
    gradients: dict[str, list[torch.Tensor]] = {name: [] for name in credits}
    for step in range(repeats):
        here = Learner(learner.models, step=step)
        batch = collect(here)
        if "critic" in learner.models:
            batch = replace(batch, values=critic_values(learner.network("critic"), batch.rows))
        for name, credit in credits.items():
            gradients[name].append(credit_gradient(policy, batch, credit(here, batch, spaces)[0]))
    found, size = {}, float(exact @ exact)
    for name, rows in gradients.items():
        g = torch.stack(rows)
        variance = float(g.var(0).sum())
        off = g.mean(0) - exact
        found |= {
            f"cosine, {name}": float((g @ exact / g.norm(dim=1) / exact.norm()).mean()),
            f"variance, {name}": variance / size,
            f"bias, {name}": (float(off @ off) - variance / repeats) / size,
        }
    return found


def _gradient(policy: Policy, objective: torch.Tensor) -> torch.Tensor:
    weights = [p for p in policy.model.parameters() if p.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(objective, weights)])


# --- the experiment

CREDITS: dict[str, Credit] = {
    "outcome": outcome,
    "exact baseline": exact_baseline,
    "rollouts": process(by_rollouts()),
    "value head": process(by_head),
    "exact": process(by_exact_values),
}


def chains(task, problems: Problems, n: int, seed: int = 0) -> Collector:
    """`n` straight chains for every problem, paid by `canonical_reward`. Groups of equal rewards
    are kept: their steps still differ in value.
    """
    return rollouts(
        task, canonical_reward(task), problems, n, instruction="solve", max_new_tokens=LONGEST,
        keep_equal=True, seed=seed,
    )  # fmt: skip


def fit_critic(minibatches: int = 8) -> Update:
    """A step of regression of a critic, before every token, on the outcome."""
    return fit(
        value_loss, advantage=gae(lam=1.0), model="critic", average="token",
        minibatches=minibatches, lr_scale=5.0,
    )  # fmt: skip


def credited(credit: Credit, task, problems: Problems) -> Update:
    """A step of the policy gradient by a credit. Logs the tokens that the credit sampled."""

    def update(learner: Learner, batch: Batch) -> dict:
        spaces = [Space(task, problem) for problem in problems(learner.step)]
        advantages, tokens = credit(learner, batch, spaces)
        follow = fit(ppo(), advantage=lambda batch: advantages, average="token")
        return follow(learner, batch) | {"credit_tokens": tokens}

    return update


def measured(learner: Learner, task, problems: int = 100, n: int = 8) -> dict[str, float]:
    """J, and success and pass@n of `n` samples by the checker, on the validation splits."""
    policy, found = learner.policy, {}
    for label, split in SPLITS.items():
        spaces = [Space(task, problem) for problem in task.problems(split, problems)]
        exact = fmean(table.get((), 0.0) for table in exact_values(policy, spaces))
        groups = policy.sample([s.prompt for s in spaces], n, max_new_tokens=LONGEST, seed=1)
        right = [
            sum(bool(task.verify(space.problem, response.text)) for response in group)
            for space, group in zip(spaces, groups, strict=True)
        ]
        found |= {
            f"J, {label}": exact,
            f"success, {label}": fmean(right) / n,
            f"pass@{n}, {label}": fmean(count > 0 for count in right),
        }
    return found


def four_credits(
    seed: int,
    folder: Path,
    credit: str,
    *,
    steps: int = 40,
    prompts: int = 64,
    n: int = 8,
    lr: float = 1e-4,
    warmup: int = 10,
    problems: int = 100,
) -> Iterator[dict]:
    """`nano-think` learns straight chains of three numbers by one of the `CREDITS`.

    At the first and the last step the gradients of all credits are held against the exact one. The
    critic is first trained on `warmup` rounds of the same size of other problems. `tokens` counts
    all that was sampled to learn: chains, rollouts, and those rounds.
    """
    task, policy = Countdown(3), Policy.load("nano-think")
    asked = training_problems(task, prompts, seed)
    learner, update, spent = Learner.of(policy), credited(CREDITS[credit], task, asked), 0
    if credit == "value head":
        learner = Learner.of(policy, critic=ValueHead.from_policy(policy, seed))
        others = chains(task, training_problems(task, prompts, 1000 + seed), n, seed)
        log = learn(
            learner, others, fit_critic(), Schedule(warmup, lr, decay=False), folder / "critic",
            label="critic",
        )  # fmt: skip
        update, spent = both(update, fit_critic()), sum(log.column("sampled_tokens"))
    probes = [Space(task, problem) for problem in task.problems("val_inputs", 10)]

    def callback(learner: Learner) -> dict[str, float]:
        found = measured(learner, task, problems)
        if learner.step in (0, steps):
            able = {k: c for k, c in CREDITS.items() if k != "value head" or k == credit}
            found |= gradient_quality(learner, able, probes)
        return found

    log = learn(
        learner, chains(task, asked, n, seed), update,
        Schedule(steps, lr, warmup_steps=3, decay=False), folder,
        callback=callback, callback_every=max(1, steps // 4), label=credit,
    )  # fmt: skip
    for row in log.rows:
        spent += (row.get("sampled_tokens") or 0) + (row.get("credit_tokens") or 0)
        for name, value in row.items():
            if (", " in name or name in ("reward", "entropy")) and isinstance(value, (int, float)):
                yield {"step": row["step"], "metric": name, "value": value, "tokens": int(spent)}


FOUR_CREDITS = Experiment(
    "four_credits",
    {name: partial(four_credits, credit=name) for name in CREDITS},
    doc="What is a step worth? Outcome, rollouts, a learned head and the exact value, in one loop.",
)
