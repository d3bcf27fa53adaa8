"""The family of learning methods: estimators against the exact gradient, choices and collectors,
and what a method costs.
"""

import itertools
from dataclasses import replace

import pytest
import torch

from o1lib.learning.advantages import (
    batch_mean,
    gae,
    greedy_baseline,
    group_mean,
    leave_one_out,
    no_baseline,
)
from o1lib.learning.choices import above, best, best_and_worst, endings
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.learning.costs import estimates, footprint, gradient, signal_share
from o1lib.learning.gather import from_search, grow_and_improve, refilled
from o1lib.learning.loop import learn
from o1lib.learning.losses import bce, clone, dpo, ppo, reinforce
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit, on, restarted
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.recipes.experiments import EXPERIMENTS
from o1lib.recipes.learners import table, with_roles
from o1lib.recipes.methods import METHODS
from o1lib.reward.outcome import checker_reward, overlong
from o1lib.search.choose import by_checker
from o1lib.search.sampling import best_of_n, greedy, sample
from o1lib.search.trees import beam
from o1lib.tasks import Countdown

task = Countdown(3)
tokenizer = build_tokenizer()


def fresh(seed=0):
    return Policy(build_model("nano", seed=seed), tokenizer, bf16=False)


# --- estimators, against the exact gradient of softmax bandits

LEVERS, DRAWN = 3, 3


def bandits(count, seed=0):
    """Logits and payments of some bandits, each drawn at random."""
    noise = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(count, LEVERS, generator=noise, dtype=torch.float64)  # noqa: E731
    return draw().requires_grad_(), draw()


def exact_gradient(theta, pays):
    [found] = torch.autograd.grad((theta.softmax(-1) * pays).sum(), theta)
    return found


def expected_estimate(advantage, theta, pays, twin=False):
    """The estimate's exact mean and variance: every outcome of `DRAWN` pulls of each bandit, by its
    probability.
    """
    count = len(theta)
    mean, square = torch.zeros_like(theta), 0.0
    prompts = torch.arange(count).repeat_interleave(DRAWN)
    for pulled in itertools.product(range(LEVERS), repeat=count * DRAWN):
        logprobs = theta.log_softmax(-1)[prompts, torch.tensor(pulled)]
        paid = pays[prompts, torch.tensor(pulled)].tolist()
        rows = [
            Completion([0], [1], rewards=(r,), group=int(p))
            for r, p in zip(paid, prompts, strict=True)
        ]
        if twin:
            best_ = theta.argmax(-1)
            rows += [
                Completion([0], [1], loss_mask=[0], rewards=(float(pays[i, best_[i]]),), group=i)
                for i in range(count)
            ]
        advantages = torch.stack(advantage(Batch(rows)))[: count * DRAWN].double()
        loss = reinforce(Rows.given(logprobs=logprobs, advantages=advantages)).sum() / DRAWN
        [estimate] = torch.autograd.grad(-loss, theta)
        probability = float(logprobs.detach().sum().exp())
        mean += probability * estimate
        square += probability * float(estimate.square().sum())
    return mean, square - float(mean.square().sum())


@pytest.mark.parametrize(
    ("advantage", "factor"),
    [
        (no_baseline, 1.0),
        (leave_one_out, 1.0),
        (greedy_baseline, 1.0),
        (group_mean, (DRAWN - 1) / DRAWN),
        (batch_mean, (DRAWN - 1) / DRAWN),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_mean_of_an_estimator_is_the_exact_gradient(advantage, factor):
    """By enumeration, so that no chance is left, for six bandits; a mean that the sample itself
    is part of shortens it by (n - 1) / n.
    """
    for seed in range(6):
        theta, pays = bandits(1, seed)
        mean, _ = expected_estimate(advantage, theta, pays, advantage is greedy_baseline)
        torch.testing.assert_close(mean, factor * exact_gradient(theta, pays), atol=1e-6, rtol=1e-5)


def test_the_batchs_mean_shortens_by_the_size_of_the_batch(monkeypatch):
    """Two prompts of two samples: (N - 1) / N with N = 4, where the group's own mean gives 1/2."""
    monkeypatch.setattr(f"{__name__}.DRAWN", 2)
    for seed in range(2):
        theta, pays = bandits(2, seed)
        exact = exact_gradient(theta, pays)
        for advantage, factor in ((batch_mean, 3 / 4), (group_mean, 1 / 2), (leave_one_out, 1.0)):
            mean, _ = expected_estimate(advantage, theta, pays)
            torch.testing.assert_close(mean, factor * exact, atol=1e-6, rtol=1e-5)


def test_a_baseline_takes_the_variance_of_a_shifted_reward():
    """Payments around 10: without a baseline the noise is a hundred times as large, and none of the
    baselines changes when all rewards do.
    """
    for seed in range(4):
        theta, pays = bandits(1, seed)
        plain = expected_estimate(no_baseline, theta, pays + 10)[1]
        for advantage in (leave_one_out, greedy_baseline):
            twin = advantage is greedy_baseline
            shifted = expected_estimate(advantage, theta, pays + 10, twin)[1]
            assert shifted < 0.1 * plain
            assert shifted == pytest.approx(
                expected_estimate(advantage, theta, pays, twin)[1], 1e-3
            )


def test_baselines_of_another_kind_need_all_groups():
    rows = [Completion([2], [60], rewards=(r,)) for r in (1.0, 0.0)]
    for advantage in (no_baseline, batch_mean):
        with pytest.raises(ValueError, match="needs all groups"):
            advantage(Batch(rows, {}, 4, 4))
    assert [float(a) for a in no_baseline(Batch(rows))] == [1.0, 0.0]
    assert batch_mean(Batch([])) == []


def test_gae_at_both_ends():
    """lambda 1: the return less the value; lambda 0: one step and the next value."""
    values = torch.tensor([0.2, 0.5, 0.4])
    batch = Batch([Completion([2], [60] * 3, rewards=(0.0, 0.3, 1.0))], values=[values])
    returns = torch.tensor([1.3, 1.3, 1.0])
    torch.testing.assert_close(gae(1.0, 1.0)(batch)[0], returns - values)
    one_step = torch.tensor([0.0 + 0.5, 0.3 + 0.4, 1.0 + 0.0]) - values
    torch.testing.assert_close(gae(1.0, 0.0)(batch)[0], one_step)


# --- rewards and choices


def test_overlong_chains_pay():
    reward = overlong(lambda problems, texts: [1.0] * len(texts), longest=20, margin=10)
    texts = [" ".join(["x"] * n) for n in (1, 10, 15, 20, 30)]
    assert reward([None] * 5, texts) == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match="margin from 1 to 20"):
        overlong(reward, longest=20, margin=21)


def groups(*rewards):
    """A batch with a group for every list of rewards; the tokens say which row it is."""
    rows = [
        Completion([2, 5], [60, 61 + i], [-7.0, -7.0], rewards=(r,), group=g)
        for g, some in enumerate(rewards)
        for i, r in enumerate(some)
    ]
    return Batch(rows, {"reward": 0.5, "sampled_tokens": 2 * len(rows)})


def names(batch):
    return [(c.group, c.completion_ids[1] - 61) for c in batch.rows]


def test_choices():
    batch = groups([0.0, 1.0, 1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0])
    assert names(above()(batch)) == [(0, 1), (0, 2), (1, 0), (1, 1), (3, 1)]
    # Above its group by more than 0.3: right where half were wrong.
    assert names(above(0.3, group_mean)(batch)) == [(0, 1), (0, 2), (3, 1)]
    assert names(best(batch)) == [(0, 1), (1, 0), (2, 0), (3, 1)]
    assert names(best_and_worst(batch)) == [(0, 1), (0, 0), (3, 1), (3, 0)]
    assert above()(batch).sampled == 5  # what is left out no longer counts
    assert above()(Batch([])).rows == best(Batch([])).rows == []


def test_a_verifier_reads_the_endings():
    """The label is the outcome, at the last token alone, of right rows and wrong ones: the loss is
    the cross-entropy there.
    """
    policy = fresh()
    learner = with_roles(policy, ("reward",))
    torch.nn.init.normal_(learner.network("reward").score.weight, std=0.5)
    batch = groups([0.0, 1.0])
    labeled = endings(batch)
    assert [list(c.loss_mask) for c in labeled.rows] == [[0.0, 1.0]] * 2
    assert [list(c.rewards) for c in labeled.rows] == [[0.0, 0.0], [0.0, 1.0]]
    logits = [
        learner.network("reward")(torch.tensor([[2, 5, *c.completion_ids]])).logits[0, -1, 0]
        for c in batch.rows
    ]
    wanted = -(torch.sigmoid(-logits[0]).log() + torch.sigmoid(logits[1]).log()) / 2
    row = on(endings, fit(bce, model="reward", average="token"))(learner, batch)
    assert row["reward_loss"] == pytest.approx(float(wanted.detach()), abs=1e-5)


# --- updates that begin anew


def test_star_begins_each_round_at_the_base(tmp_path):
    """Two rounds from the base give what the second alone gives; without a restart they do not."""
    batches = [groups([0.0, 1.0]), groups([0.0, 0.0, 1.0])]
    update = on(above(), fit(clone, average="token"))
    found = {}
    for name, some, make in (
        ("both, restarted", batches, restarted),
        ("second", batches[1:], lambda u: u),
        ("both", batches, lambda u: u),
    ):
        policy = fresh()
        learner = with_roles(policy, ("reference",))
        collect = lambda learner, some=some: some[learner.step]  # noqa: E731
        schedule = Schedule(len(some), 1e-3, decay=False)
        learn(learner, collect, make(update), schedule, tmp_path / name)
        found[name] = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    torch.testing.assert_close(found["both, restarted"], found["second"])
    assert not torch.allclose(found["both"], found["second"], atol=1e-4)


# --- collectors


def test_rest_grows_once_and_raises_the_bar(tmp_path):
    """What a round learns from is what the last growth holds above the round's threshold, also
    after a kill in between.
    """

    def collect(learner):
        learner.memory["asked"] = [*learner.memory.get("asked", []), learner.step]
        return groups([0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0])

    rest = grow_and_improve(collect, (0.0, 0.3, 0.6), group_mean)
    some, rare = [[0, 1], [0, 2], [1, 3]], [[1, 3]]

    def update(learner, batch):
        seen = [list(name) for name in names(batch)]
        learner.memory["seen"] = [*learner.memory.get("seen", []), seen]
        return {}

    for stop in (1, 1, None):
        learner = Learner.of(fresh())
        learn(learner, rest, update, Schedule(6, 1e-3), tmp_path, stop_after=stop)
    assert learner.memory["seen"] == [some, some, rare] * 2
    assert learner.memory["asked"] == [0, 3]
    with pytest.raises(ValueError, match="thresholds must rise"):
        grow_and_improve(collect, (0.5, 0.5))


def test_dynamic_sampling_fills_the_batch():
    """Groups that teach something from as many rounds as it takes, each with samples of its own,
    and no group counted that was dropped.
    """
    asked = []

    def collect(learner):
        asked.append(learner.step)
        return replace(groups(*[[0.0, 1.0]] * (learner.step % 3)), sampled=8)

    batch = refilled(collect, 4, most=5)(replace(Learner({}), step=2))
    assert asked == [10, 11, 12, 13]
    assert [c.group for c in batch.rows] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert batch.sampled == 8
    assert batch.stats["asked"] == 4
    assert batch.stats["reward"] == 0.5
    assert batch.stats["sampled_tokens"] == 16
    assert len(refilled(collect, 3, most=1)(replace(Learner({}), step=1)).rows) == 2
    with pytest.raises(ValueError, match="groups and most"):
        refilled(collect, 0)


@pytest.mark.parametrize(
    "strategy",
    [
        sample(4, max_new_tokens=64),
        best_of_n(4, by_checker(), max_new_tokens=64),
        beam(width=4, choose=by_checker()),
        greedy(64),
    ],
    ids=lambda part: part.name,
)
def test_what_a_search_finds_can_be_cloned(strategy):
    """Every row is a right answer in the policy's own format, held to the end token; the costs are
    those of the search.
    """
    policy = Policy.load("nano-think", bf16=False)
    problems = training_problems(task, 6, seed=3)
    collect = from_search(strategy, task, problems, instruction="solve", seed=1)
    batch = collect(Learner.of(policy))
    assert batch.rows
    asked = {task.prompt(p, "solve"): p for p in problems(0)}
    for c in batch.rows:
        text = tokenizer.decode([*c.prompt_ids, *c.completion_ids])
        prompt, reply = text.split("<user> ")[1].split("<assistant> ")
        assert task.verify(asked[prompt], reply.removesuffix("<eos>"))
        assert c.completion_ids[-1] == tokenizer.eos_token_id
        assert c.counted == len(tokenizer.encode(reply, add_special_tokens=False))
    by_problem = [c.group for c in batch.rows]
    if strategy.name == "sample":
        assert len(by_problem) > len(set(by_problem))
        every = from_search(
            strategy, task, problems, instruction="solve", right_only=False, seed=1
        )(Learner.of(policy))
        assert len(every.rows) == 24
        assert sum(c.reward for c in every.rows) == len(batch.rows)
        assert batch.stats["reward"] == len(batch.rows) / 24
    else:
        assert len(by_problem) == len(set(by_problem)) == round(batch.stats["solved"] * 6)
    spent = batch.stats["scored_tokens" if strategy.name == "beam" else "sampled_tokens"]
    assert spent > 0
    held_out = from_search(strategy, task, lambda step: [task.problem([2, 3, 4], 24)])
    with pytest.raises(ValueError, match="goal 24 is held out"):
        held_out(Learner.of(policy))


def test_distillation_asks_the_reference():
    """The student's weights do not matter for what it learns from."""
    teacher = Policy.load("nano-think", bf16=False)
    collect = from_search(
        best_of_n(2, by_checker(), max_new_tokens=120),
        task,
        training_problems(task, 4),
        role="reference",
    )
    found = [
        collect(Learner.of(student, reference=teacher)) for student in (teacher, fresh(), fresh(1))
    ]
    assert found[0].rows
    assert found[0].rows == found[1].rows == found[2].rows


# --- costs


def test_the_four_models_of_ppo_in_bytes():
    """Weights in float32, and two numbers a weight for AdamW, of the two that are trained."""
    policy = fresh()
    learner = with_roles(policy, ("reference", "critic", "reward"))
    sizes = {
        role: sum(p.numel() for p in m.model.parameters()) for role, m in learner.models.items()
    }
    assert footprint(learner) == {role: 4 * n for role, n in sizes.items()}
    assert sizes["critic"] == sizes["policy"] + 128 + 1  # one number a token, and its bias
    batch = groups([0.0, 1.0])
    METHODS["PPO"].update(learner, replace(batch, values=[torch.zeros(2)] * 2))
    found = footprint(learner)
    for role in ("policy", "critic"):
        kept = found[f"optimizer of the {role}"]
        assert 0 <= kept - 8 * sizes[role] <= 4 * len([*learner.network(role).parameters()])
    assert len(found) == 6


def test_the_share_of_signal():
    """Of noise none, of equal estimates all, and in between |G|^2 / (|G|^2 + variance)."""
    noise = torch.Generator().manual_seed(0)
    truth = torch.randn(50, generator=noise)
    assert signal_share(truth.repeat(4, 1)) == pytest.approx(1.0)
    for spread in (0.5, 1.0, 3.0):
        found = []
        for _ in range(300):
            estimates_ = truth + spread * torch.randn(8, 50, generator=noise)
            found.append(signal_share(estimates_))
        own = float(truth.square().sum())
        assert sum(found) / 300 == pytest.approx(own / (own + 50 * spread**2), abs=0.01)
    with pytest.raises(ValueError, match="at least two"):
        signal_share(truth[None])
    assert signal_share(torch.zeros(3, 5)) == 0.0


def test_looking_at_gradients_changes_nothing():
    policy = Policy.load("nano-think", bf16=False)
    learner = with_roles(policy, ("reference",))
    before = [p.clone() for p in policy.model.parameters()]
    reward = checker_reward(task)
    collect = rollouts(task, reward, training_problems(task, 4), 4, max_new_tokens=80)
    update = fit(ppo(), advantage=group_mean, clip_norm=float("inf"))
    memory = learner.memory
    found = estimates(learner, collect, update, 2)
    assert found.shape == (2, sum(p.numel() for p in before))
    for a, b in zip(before, policy.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert b.grad is None
    assert learner.optimizers == {}
    assert learner.memory is memory == {}
    # By hand: minus the derivative of the loss of that batch.
    batch = groups([0.0, 1.0])
    rows = Rows(batch.rows, policy.model)
    (-(rows.logprobs * torch.tensor([[-0.5], [0.5]]) * rows.mask).sum() / 4).backward()
    wanted = torch.cat([p.grad.flatten() for p in policy.model.parameters()])
    policy.model.zero_grad(set_to_none=True)
    update = fit(reinforce, advantage=group_mean, average="token", clip_norm=float("inf"))
    torch.testing.assert_close(gradient(learner, batch, update), wanted, atol=1e-5, rtol=1e-4)
    assert not gradient(learner, Batch([]), update).any()


# --- the experiments


MODELS = {"PPO": 3, "ReST": 1, "V-STaR": 3, "cloning a beam": 1, "cloning, then DPO": 2}


@pytest.mark.parametrize("name", MODELS)
def test_an_arm_runs(name, tmp_path):
    arm = EXPERIMENTS["learners"].arms[name]
    options = {"steps": 2, "problems": 4, "n": 3, "measured_on": 2, "looks": 4}
    rows = [{"arm": name, "step": 0} | row for row in arm(0, tmp_path, **options)]
    assert {"signal", "models", "bytes", "updates", "reward"} <= {r["metric"] for r in rows}
    assert [r["tokens"] for r in rows] == sorted(r["tokens"] for r in rows)
    assert rows[-1]["step"] == 2
    [of] = table(rows).values()
    assert of["models"] == MODELS[name]
    if name in ("PPO", "ReST", "cloning a beam"):
        assert (of["negatives"] > 0) == (name == "PPO")
    # A finished run says the same (its log has six digits).
    again = {(row["step"], row["metric"]): row["value"] for row in arm(0, tmp_path, **options)}
    found = {(row["step"], row["metric"]): row["value"] for row in rows}
    assert again == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("name", EXPERIMENTS["search_data"].arms)
def test_a_search_is_learned_from(name, tmp_path):
    arm = EXPERIMENTS["search_data"].arms[name]
    rows = list(arm(0, tmp_path, rounds=1, problems=3, measured_on=1))
    assert {row["step"] for row in rows} == {0, 1}
    assert rows[-1]["tokens"] > rows[0]["tokens"] == 0
    assert sum(row["metric"] == "pass@1, held-out goals" for row in rows) == 2


def test_every_learner_is_a_method_with_its_models():
    """Each has what its loss, its advantage and its source ask for."""
    needs = {"PPO": 3, "DPO": 2, "STaR": 2, "V-STaR": 3, "best-of-n distillation": 2}
    for name, method in METHODS.items():
        assert 1 + len(method.roles) == needs.get(name, 1)
        assert callable(method.update)
    assert METHODS.keys() <= EXPERIMENTS["learners"].arms.keys()
    assert dpo().whole_groups
