"""Who judges best? The experiment `judges`: outcome and process reward models, heads and
likelihoods, exact labels and rollouts, and a judge that works every step out again, all from one
set of samples, all choosing among the same chains of an Arithmetic expression.

The picture is that of Lightman et al. (2023), arXiv 2305.20050, figure 3; labels from rollouts are
those of Math-Shepherd (Wang et al. 2023, arXiv 2312.08935).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from o1lib.lab.experiments import Experiment
from o1lib.lab.machine import fast_bf16
from o1lib.lab.statistics import auc, pass_rates
from o1lib.learning.collect import as_completion
from o1lib.learning.completions import Completion
from o1lib.learning.loop import learn
from o1lib.learning.losses import bce, clone
from o1lib.learning.schedules import Linear
from o1lib.learning.updates import Learner, fit
from o1lib.learning.values import chain_rows, labeled
from o1lib.model.heads import ValueHead
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import encode_prompt
from o1lib.policy.documents import Document
from o1lib.recipes.judge_data import (
    LONGEST,
    PLAN,
    POLICY,
    Plan,
    candidates,
    judged,
    material,
    rolled_out,
)
from o1lib.recipes.scores import greedy_results
from o1lib.reward.judge import (
    by_head,
    by_likelihood,
    by_truth,
    by_verdict,
    lessons,
    over_n,
    vote,
)
from o1lib.reward.steps import (
    Chain,
    Labeling,
    at_the_end,
    exact_steps,
    exact_tokens,
    from_rollouts,
    outcome_of_steps,
)


def trained(model, rows: Sequence[Completion], loss, plan: Plan, seed: int, folder: Path) -> int:
    """Fit a head (`bce`) or a language model (`clone`) to rows, none of them more than six times.
    Returns the tokens learned from.
    """
    size, role = sum(map(len, rows)), "reward" if loss is bce else "policy"
    total = min(plan.tokens, 6 * size)
    half = fast_bf16(next(model.model.parameters()).device.type)
    log = learn(
        Learner({role: model}),
        labeled(rows, -(-total // size), plan.batch, seed),
        fit(loss, model=role, average="token", micro_tokens=2048, bf16=half),
        Linear(total, plan.lr),
        folder / "judge",
        label="judge",
    )
    return int(log.rows[-1]["tokens"])


def head(seed: int, folder: Path, labels: Labeling, few: bool = False, plan=PLAN):
    """A scalar a token, on the policy's backbone.

    Args:
        few: learn from the chains that have rollouts alone.
    """
    policy, chains, few_chains = material(plan)
    found = ValueHead.from_policy(policy, seed)
    rows = chain_rows(policy.tokenizer, few_chains if few else chains, labels)
    tokens = trained(found, rows, bce, plan, seed, folder)
    yield from judged(by_head(found), plan, tokens)


def rolled_head(seed: int, folder: Path, n: int, hard: bool, plan=PLAN):
    """The same from rollouts, and how good the labels are."""
    policy, _, chains = material(plan)
    labels = from_rollouts(rolled_out(policy, chains, plan.rollouts), n, hard)
    pairs = [(labels(c)[end], end < c.slip) for c in chains for end in c.judged]
    said, right = zip(*pairs, strict=True)
    yield {"metric": "label AUC", "value": auc(said, right)}
    if hard:
        agree = [(label > 0.5) == fact for label, fact in pairs]
        yield {"metric": "label accuracy", "value": fmean(agree)}
        for fact, metric in ((True, "right steps called wrong"), (False, "wrong called right")):
            missed = [not a for a, r in zip(agree, right, strict=True) if r == fact]
            yield {"metric": metric, "value": fmean(missed)}
    yield from head(seed, folder, labels, few=True, plan=plan)


def writer(seed: int, folder: Path, rows: Callable, plan=PLAN):
    """The policy itself, taught to write right steps: a step is as good as it finds it likely."""
    policy, chains, _ = material(plan)
    some = [row for row in rows(policy.tokenizer, chains) if row.counted]
    pupil = Policy.load(POLICY)
    tokens = trained(pupil, some, clone, plan, seed, folder)
    yield from judged(by_likelihood(pupil), plan, tokens)
    yield solved(pupil, plan)


def solved(policy: Policy, plan: Plan) -> dict:
    """Who knows what should have come can also write it: success of one greedy chain."""
    asked = plan.task.problems("val_inputs", plan.problems)
    results = greedy_results(policy, plan.task, asked, LONGEST, "solve")
    return {"metric": "solves by itself", "value": fmean(right for right, _ in results)}


def right_parts(tokenizer, chains: Sequence[Chain], labels: Labeling) -> list[Completion]:
    """Every step, weighed by its label: what is wrong is not learned."""
    rows = []
    for chain in chains:
        weights, begun = [], 0
        for end, label in sorted(labels(chain).items()):
            weights += [label] * (end + 1 - begun)
            begun = end + 1
        prompt = encode_prompt(tokenizer, chain.space.prompt)
        rows.append(Completion(prompt, chain.token_ids[:begun], loss_mask=weights))
    return rows


def mended(tokenizer, chains: Sequence[Chain]) -> list[Completion]:
    """Every chain up to its slip, and the step that should have come."""
    return [Completion(encode_prompt(tokenizer, c.space.prompt), c.mended) for c in chains]


def verdict(seed: int, folder: Path, blind: bool = False, plan=PLAN):
    """The policy, taught to work a step out again and to say whether it is right: all wrong steps,
    and as many right ones.
    """
    policy, chains, _ = material(plan)
    rng, sides = random.Random(seed), {True: {}, False: {}}
    for chain in chains:
        for question, reply, ok in lessons(policy, chain, blind):
            sides[ok][question] = Document(question, [(reply, True)])
    few = min(map(len, sides.values()))
    some = [d for side in sides.values() for d in rng.sample(list(side.values()), few)]
    rows = [as_completion(policy.tokenizer, document) for document in some]
    pupil, spent = Policy.load(POLICY), Counter()
    tokens = trained(pupil, rows, clone, plan, seed, folder)
    yield from judged(by_verdict(pupil, blind, spent), plan, tokens)
    asked = plan.problems * plan.tries
    yield {"metric": "questions a chain", "value": spent["questions"] / asked}
    yield {"metric": "judge tokens a question", "value": spent["tokens"] / spent["questions"]}


def policy_itself(seed: int, folder: Path, plan=PLAN):
    """How likely the policy that wrote a chain finds it: no training at all."""
    policy = material(plan)[0]
    yield from judged(by_likelihood(policy), plan, 0)
    yield solved(policy, plan)


def truth(seed: int, folder: Path, plan=PLAN):
    """The exact labels: what the best judge of steps can do."""
    yield from judged(by_truth, plan, 0)


def majority(seed: int, folder: Path, plan=PLAN):
    """The majority, and the ceiling: whether any of N chains is right; how often a chain that ends
    right has a wrong step.
    """
    groups = candidates(plan)
    ones = [[1.0] * len(group) for group in groups]
    for n, rate in over_n(groups, vote, ones).items():
        yield {"step": n, "metric": "majority", "value": rate}
    for n, rate in pass_rates([(len(g), sum(c.right for c in g)) for g in groups]).items():
        yield {"step": n, "metric": "pass", "value": rate}
    right = [c for group in groups for c in group if c.right]
    wrong_steps = fmean(c.slip < len(c.token_ids) for c in right)
    yield {"metric": "right answers with a wrong step", "value": wrong_steps}


ROLLOUTS = (1, 4, 16, 64)

LIKELIHOODS = {
    "right answers": partial(right_parts, labels=outcome_of_steps),
    "right steps": partial(right_parts, labels=exact_steps),
    "mended steps": mended,
}

JUDGES = Experiment(
    "judges",
    {
        "majority": majority,
        "truth": truth,
        "policy's likelihood": policy_itself,
        "ORM": partial(head, labels=at_the_end),
        "PRM, one rollout": partial(head, labels=outcome_of_steps),
        "PRM, exact steps": partial(head, labels=exact_steps),
        "PRM, exact tokens": partial(head, labels=exact_tokens),
        "verdict": verdict,
        "verdict, blind": partial(verdict, blind=True),
        "few, exact": partial(head, labels=exact_steps, few=True),
    }
    | {f"likelihood, {name}": partial(writer, rows=rows) for name, rows in LIKELIHOODS.items()}
    | {
        f"few, {'hard' if hard else 'soft'} {n}": partial(rolled_head, n=n, hard=hard)
        for n in ROLLOUTS
        for hard in (True, False)
        if n > 1 or hard  # the labels of one rollout are hard
    },
    seeds=3,
    doc="Who judges best: outcome or process, a head or a likelihood, exact labels or rollouts?",
)
