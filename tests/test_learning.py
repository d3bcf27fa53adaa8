"""Learning: advantages and losses against TRL's numbers, gradients against the exact one, exact resume, odd batches."""

import json
import random
from dataclasses import replace

import pytest
import torch

from o1lib.lab.runlog import read_log
from o1lib.learning.collect import (
    as_experience,
    expert_iteration,
    rollouts,
    training_problems,
)
from o1lib.learning.corrections import corrected
from o1lib.learning.loop import (
    Batch,
    Experience,
    Schedule,
    behavior_cloning,
    completion_logprobs,
    learn,
    policy_gradient,
)
from o1lib.learning.losses import (
    clipped_surrogate,
    group_advantages,
    kl_penalty,
    token_weights,
)
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import traces
from o1lib.policy.corpus import Document, Mixture, encode, think_part
from o1lib.recipes import improvements as recipes
from o1lib.recipes.improvements import step_back
from o1lib.reward.exact import enumerate_values
from o1lib.reward.outcome import checker_reward
from o1lib.tasks import Countdown
from o1lib.tasks.space import Space

task = Countdown(3)
tokenizer = build_tokenizer()


def fresh(bf16=False):
    return Policy(build_model("nano"), tokenizer, bf16=bf16)


# --- losses, against TRL


PAIRS = [("sequence", "grpo"), ("token", "bnpo"), ("constant", "dr_grpo")]


@pytest.mark.parametrize(("average", "loss_type"), PAIRS)
@pytest.mark.parametrize(("scale", "beta"), [(False, 0.0), (True, 0.05)])
def test_grpo_equals_trl(average, loss_type, scale, beta, tmp_path, monkeypatch):
    """Advantages and loss of one batch, completions of different lengths, ratios inside and outside the clip range."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from o1lib.backends.trl import grpo_trainer

    rng, n, limit = random.Random(0), 4, 24
    problems = task.problems("train", 3)
    fixed = {}  # completions, sampler's log-probabilities and rewards
    for i in range(len(problems)):
        for j in range(n):
            ids = [rng.randint(20, 900) for _ in range(rng.randint(1, limit))]
            fixed[i, j] = (ids, [rng.uniform(-9, -5) for _ in ids], rng.choice([0.0, 0.3, 1.0]))
    policy, reference = fresh(), build_model("nano", seed=1)
    seen = [0]

    def rollout(prompts, trainer):
        keys = [(k // n, k % n) for k in range(len(prompts))]
        return {
            "prompt_ids": [policy.encode(task.prompt(problems[i])) for i, _ in keys],
            "completion_ids": [fixed[k][0] for k in keys],
            "logprobs": [fixed[k][1] for k in keys],
        }

    def reward(problem, text):
        seen[0] += 1
        return fixed[(seen[0] - 1) // n, (seen[0] - 1) % n][2]

    trainer = grpo_trainer(
        policy.model, tokenizer, task, problems, reward, tmp_path, n=n, prompts_per_step=len(problems),
        max_new_tokens=limit, rollout=rollout, loss_type=loss_type, beta=0.0,
        scale_rewards="group" if scale else "none", epsilon=0.2, epsilon_high=0.28, use_bias_correction_kl=False,
    )  # fmt: skip
    trainer.model.eval()
    rows = [trainer.train_dataset[i] for i in range(len(problems)) for _ in range(n)]
    inputs = trainer._generate_and_score_completions(rows)

    rewards = torch.tensor([[fixed[i, j][2] for j in range(n)] for i in range(len(problems))])
    advantages = group_advantages(rewards, scale)
    assert torch.allclose(inputs["advantages"], advantages.flatten(), atol=1e-5)

    experiences = [
        Experience(policy.encode(task.prompt(problems[i])), ids, old, float(advantages[i, j]))
        for (i, j), (ids, old, _) in fixed.items()
    ]
    length = max(map(len, experiences))
    logprobs, _, mask = completion_logprobs(policy.model, experiences, length, bf16=False)
    # Old log-probabilities near the present ones, some of them outside of the clip range.
    noise = torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(0)) * 0.2
    old = ((logprobs + noise) * mask).detach()
    assert 0.05 < float(((noise * mask).abs() > 0.3).float().sum() / mask.sum()) < 0.5
    ref = completion_logprobs(reference, experiences, length, bf16=False)[0].detach()
    lengths = torch.tensor([len(e.completion_ids) for e in experiences])
    losses = clipped_surrogate(logprobs, old, advantages.flatten()[:, None])
    losses = losses + beta * kl_penalty(logprobs, ref)
    ours = (losses * mask * token_weights(lengths, average, limit)[:, None]).sum()

    width = inputs["completion_ids"].shape[1]

    def as_trl(values):
        """Our rows (prompt and completion) as TRL's (completion only)."""
        rows = [v[m] for v, m in zip(values.detach(), mask, strict=True)]
        return torch.stack([torch.nn.functional.pad(r, (0, width - len(r))) for r in rows])

    trainer.beta = beta
    inputs["old_per_token_logps"], inputs["ref_per_token_logps"] = as_trl(old), as_trl(ref)
    theirs = trainer._compute_loss(trainer.model, inputs)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)
    ours.backward()
    mine = [p.grad.clone() for p in policy.model.parameters()]
    policy.model.zero_grad()
    theirs.backward()
    for a, p in zip(mine, policy.model.parameters(), strict=True):
        assert torch.allclose(a, p.grad, atol=1e-5)


def test_group_advantages():
    equal = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert not group_advantages(equal).any()
    assert not group_advantages(equal, scale=True).any()
    assert group_advantages(torch.tensor([[0.0, 1.0]])).tolist() == [[-0.5, 0.5]]
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not a finite number"):
            group_advantages(torch.tensor([[0.0, bad]]))
    with pytest.raises(ValueError, match="unknown average"):
        token_weights(torch.tensor([1, 2]), "median")
    assert token_weights(torch.tensor([0, 4]), "sequence").tolist() == [0.5, 0.125]


# --- gradients, against the exact one


def test_policy_gradient_points_where_the_exact_gradient_points():
    """The gradient of V by enumeration, differentiated, against the mean of GRPO's gradients over many samples."""
    policy = Policy.load("nano-think", bf16=False)
    problem = max(task.problems("train", 20), key=lambda p: -abs(root_value(policy, p) - 0.4))
    space = Space(task, problem)
    exact = torch.zeros(sum(p.numel() for p in policy.model.parameters()))
    winning = []
    for solution in task.solutions(problem):
        node = space.root
        for step in solution:
            node = space.child(node, step)
        ids = tokenizer.encode(space.response(node), add_special_tokens=False)
        winning.append(Experience(policy.encode(space.prompt), [*ids, tokenizer.eos_token_id]))
    logprobs, _, mask = completion_logprobs(policy.model, winning, max(map(len, winning)), False)
    value = (logprobs * mask).sum(1).exp().sum()
    assert float(value.detach()) == pytest.approx(root_value(policy, problem), rel=1e-3)
    value.backward()
    exact = flat_gradient(policy)

    n, total = 64, torch.zeros_like(exact)
    collect = rollouts(
        task,
        checker_reward(task),
        lambda step: [problem],
        n,
        instruction="solve",
        max_new_tokens=64,
    )
    update = policy_gradient(average="constant", max_length=1, clip_norm=1e9)
    repeats = 30
    for step in range(repeats):
        optimizer = Recorder()
        update(policy, optimizer, collect(policy, step))
        total -= flat_gradient(policy)  # the loss is the negative objective
        policy.model.zero_grad()
    # The group's own mean as baseline shrinks the gradient by (n - 1) / n.
    found = total / repeats * n / (n - 1)
    cosine = float(found @ exact / found.norm() / exact.norm())
    assert cosine > 0.9
    assert float(found @ exact / exact.norm() ** 2) == pytest.approx(1.0, abs=0.25)


class Recorder:
    """An optimizer that leaves weights and gradients as they are."""

    def step(self):
        pass

    def zero_grad(self, set_to_none=True):
        pass


def flat_gradient(policy):
    return torch.cat([p.grad.flatten() for p in policy.model.parameters()])


def root_value(policy, problem):
    return enumerate_values(policy, task, [problem])[0][0].value


def test_micro_batches_and_masks_change_nothing():
    """The same gradient however the batch is cut; tokens that do not count have none."""
    gradients = []
    rng = random.Random(1)
    experiences = []
    for i in range(6):
        ids = [rng.randint(20, 900) for _ in range(rng.randint(3, 30))]
        counted = [rng.random() < 0.7 for _ in ids]
        experiences.append(Experience([2, 4, 50 + i, 5], ids, [-7.0] * len(ids), i - 2.5, counted))
    for micro in (1, 100, 10_000):
        for make in (policy_gradient, behavior_cloning):
            policy = fresh()
            update = make(micro_tokens=micro, clip_norm=1e9, bf16=False)
            update(policy, Recorder(), Batch(experiences))
            gradients.append(flat_gradient(policy))
    for first, other in ((0, 2), (0, 4), (1, 3), (1, 5)):
        assert torch.allclose(gradients[first], gradients[other], atol=1e-6)
    logprobs, _, mask = completion_logprobs(fresh().model, experiences, 64, False)
    assert mask.sum().item() == sum(sum(e.counted) for e in experiences)
    assert not logprobs[~mask].any()


def test_completion_logprobs_equal_the_policys():
    policy = fresh()
    prompts = [task.prompt(p) for p in task.problems("train", 3)]
    groups = policy.sample(prompts, 2, max_new_tokens=20)
    experiences = [
        Experience(policy.encode(p), s.token_ids, s.logprobs)
        for p, g in zip(prompts, groups, strict=True)
        for s in g
    ]
    logprobs, entropy, mask = completion_logprobs(
        policy.model, experiences, max(map(len, experiences)) + 5, False
    )
    for row, m, h, e in zip(logprobs, mask, entropy, experiences, strict=True):
        assert torch.allclose(row[m].detach(), torch.tensor(e.logprobs), atol=1e-4)
        assert (h[m] > 0).all()


# --- collectors


class Scripted:
    """A policy that gives the same responses to every prompt."""

    tokenizer = tokenizer

    def __init__(self, responses):
        self.responses = responses

    def encode(self, prompt):
        return [2, 4, *tokenizer.encode(prompt, add_special_tokens=False), 5]

    def sample(self, prompts, n=1, **options):
        from o1lib.model.policy import Response

        group = []
        for text in self.responses[:n]:
            ids = tokenizer.encode(text, add_special_tokens=False) if text else []
            group.append(Response(text, ids, [-0.1] * len(ids), bool(text)))
        return [group for _ in prompts]


PROBLEM = task.problem([3, 5, 7], 26)
RIGHT, LONGER = "<answer> 3 * 7 + 5 </answer>", "<think> so </think> <answer> 7 * 3 + 5 </answer>"
WRONG = "<answer> 3 + 5 + 7 </answer>"


def test_groups_with_equal_rewards_are_dropped():
    one = lambda step: [PROBLEM]  # noqa: E731
    for responses in ([RIGHT, LONGER], [WRONG, WRONG], ["", "x " * 600]):
        batch = rollouts(task, checker_reward(task), one, 2)(Scripted(responses), 0)
        assert batch.experiences == []
        assert batch.stats["used"] == 0
    batch = rollouts(task, checker_reward(task), one, 3)(Scripted([RIGHT, WRONG, ""]), 0)
    assert [round(e.advantage, 3) for e in batch.experiences] == [0.667, -0.333, -0.333]
    assert batch.stats["reward"] == pytest.approx(1 / 3)


def test_batches_without_anything_change_nothing():
    policy = fresh()
    before = [p.clone() for p in policy.model.parameters()]
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1.0)
    for update in (policy_gradient(), behavior_cloning()):
        numbers = update(policy, optimizer, Batch([]))
        assert numbers["grad_norm"] == 0
    # An empty completion beside a real one: it has no tokens to learn from.
    e = [Experience([2, 4, 60, 5], [], [], 1.0), Experience([2, 4, 60, 5], [70], [-7.0], -1.0)]
    assert torch.isfinite(
        torch.tensor(policy_gradient(bf16=False)(policy, Recorder(), Batch(e))["loss"])
    )
    for a, b in zip(before, policy.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_rewards_that_are_no_numbers_stop_the_run():
    reward = lambda problem, response: float("nan")  # noqa: E731
    with pytest.raises(ValueError, match=r"the reward for 'make 26 from 3 5 7' is nan"):
        rollouts(task, reward, lambda step: [PROBLEM], 2)(Scripted([RIGHT, WRONG]), 0)


def test_held_out_goals_are_refused():
    held_out = lambda step: [task.problem([2, 3, 4], 24)]  # noqa: E731
    for collect in (
        rollouts(task, checker_reward(task), held_out, 2),
        expert_iteration(task, held_out, 2),
    ):
        with pytest.raises(ValueError, match="goal 24 is held out"):
            collect(Scripted([RIGHT, WRONG]), 0)
    with pytest.raises(ValueError, match="at least two"):
        rollouts(task, checker_reward(task), held_out, 1)


def test_expert_iteration_keeps_the_shortest_and_corrects_the_wrong():
    one = lambda step: [PROBLEM]  # noqa: E731
    batch = expert_iteration(task, one, 3, keep="shortest")(Scripted([LONGER, WRONG, RIGHT]), 0)
    assert RIGHT in [tokenizer.decode(e.completion_ids) for e in batch.experiences]
    assert LONGER not in [tokenizer.decode(e.completion_ids) for e in batch.experiences]
    assert batch.stats["corrected"] == 1
    batch = expert_iteration(task, one, 3, keep="all", corrections=False)(
        Scripted([LONGER, WRONG, RIGHT]), 0
    )
    assert len(batch.experiences) == 2
    failed = "<think> use 3 5 7 for 26 keep 7 want 33 19 182 : 3 5 get 8 2 15 no keep 3 want 29 : 1"
    batch = expert_iteration(task, one, 2)(Scripted([WRONG, failed]), 0)
    [e] = batch.experiences
    text = tokenizer.decode(e.completion_ids)
    assert task.verify(PROBLEM, text.split("<assistant> ")[1].removesuffix("<eos>"))
    assert "keep 7 want 33 19 182 : 3 5 get 8 2 15 no keep 3 want 29 23 78 :" in text
    assert sum(e.counted) < len(e.counted)  # the prompt does not count
    assert batch.stats["corrected"] == 1
    batch = expert_iteration(task, one, 2, corrections=False)(Scripted([WRONG, failed]), 0)
    assert batch.experiences == []
    unsolvable = lambda step: [task.problem([1, 1, 1], 100)]  # noqa: E731
    assert expert_iteration(task, unsolvable, 2)(Scripted([WRONG, failed]), 0).experiences == []


def test_old_data_is_a_share_of_the_tokens():
    def old():
        return Mixture({"think": (1.0, think_part(3))}, tokenizer, 5)

    problems = training_problems(task, 20)
    collect = expert_iteration(task, problems, 1, old=old, old_share=0.5)
    batch = collect(Scripted([WRONG]), 0)
    lengths = [len(e) for e in batch.experiences]
    corrected = round(batch.stats["corrected"] * 20)
    assert len(batch.experiences) > corrected
    assert sum(lengths) < 2.4 * sum(lengths) / len(lengths) * corrected
    again = collect(Scripted([WRONG]), 0)
    assert [e.completion_ids for e in again.experiences] == [
        e.completion_ids for e in batch.experiences
    ]
    other = collect(Scripted([WRONG]), 1)
    assert [e.completion_ids for e in other.experiences] != [
        e.completion_ids for e in batch.experiences
    ]


@pytest.mark.parametrize("n_numbers", [3, 4])
def test_corrections_agree_up_to_the_first_mistake(n_numbers):
    """A writer's chain with a word changed: the correction is right, and the same before the change."""
    rng, world = random.Random(0), Countdown(n_numbers)
    for problem in world.problems("train", 25):
        pieces = traces.think(problem, rng, traces.Style(slip=0.0))
        if pieces is None:
            continue
        words = " ".join(text for text, _ in pieces).split()
        place = rng.randrange(8, len(words))
        fixed = corrected(problem, " ".join([*words[:place], "dead", *words[place:]]), rng)
        text = " ".join(t for t, _ in fixed)
        assert world.verify(problem, text)
        assert text.split()[:place] == words[:place]


def test_stepping_back_averages_the_weights():
    policy, start = fresh(), Policy(build_model("nano", seed=1), tokenizer)
    before = [p.clone() for p in policy.model.parameters()]
    step_back(policy, start, 0.75)
    for mine, was, other in zip(
        policy.model.parameters(), before, start.model.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, 0.75 * was + 0.25 * other)
    # The sampler has the new weights.
    [[one]] = policy.sample(["think : 1"], temperature=0, max_new_tokens=4)
    [[two]] = Policy(policy.model, tokenizer).sample(["think : 1"], temperature=0, max_new_tokens=4)
    assert one.token_ids == two.token_ids
    with pytest.raises(ValueError, match="share"):
        step_back(policy, start, 1.5)


def test_recipes_run_end_to_end(tmp_path, monkeypatch):
    """Every stage of a tiny recipe, killed in between: one checkpoint with its card and logs."""
    tiny = replace(
        recipes.IMPROVEMENTS["nano-rl"],
        ei_rounds=1,
        ei_problems=4,
        rl_steps=2,
        rl_prompts=2,
        max_new_tokens=40,
    )
    monkeypatch.setitem(recipes.IMPROVEMENTS, "nano-rl", tiny)
    monkeypatch.setattr(recipes, "scores", lambda *_: {"val_inputs": 0.5})
    with monkeypatch.context() as broken:
        broken.setitem(recipes.STAGES, "grpo", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            recipes.improve("nano-rl", tmp_path / "run", tmp_path / "made")
    folder = recipes.improve("nano-rl", tmp_path / "run", tmp_path / "made")
    card = json.loads((folder / "card.json").read_text())
    assert card["parent"] == "nano-think"
    assert card["config"]["ei_rounds"] == 1
    rows = read_log(folder / "expert_iteration.csv")
    assert [r["step"] for r in rows] == [0, 1]  # not run twice
    assert [r["step"] for r in read_log(folder / "grpo.csv")] == [0, 1, 2]
    start, made = Policy.load("nano-think"), Policy.load(folder)
    moved = [
        float((a - b).abs().max())
        for a, b in zip(start.model.parameters(), made.model.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.05


def test_a_false_yes_is_noticed_and_mended():
    failed = (
        "<think> use 3 5 7 for 26 keep 7 want 33 19 182 : 3 5 get 8 2 15 yes so 5 * 3 = 15 , 15 + 7 = 26 "
        "</think> <answer> ( 5 * 3 ) + 7 </answer>"
    )
    pieces = corrected(PROBLEM, failed, random.Random(0))
    text = " ".join(t for t, _ in pieces)
    assert "3 5 get 8 2 15 yes so 5 * 3 = 15 , 15 + 7 = 22 wait 3 5 get 8 2 15 no keep" in text
    assert task.verify(PROBLEM, text)
    loss_on = " ".join(t for t, counted in pieces if counted)
    assert "yes so 5" not in loss_on
    assert "22 wait 3 5 get 8 2 15 no" in loss_on
    # A wrong operation in the conclusion.
    failed = "<think> use 3 5 7 for 26 keep 5 want 31 21 130 : 3 7 get 10 4 21 yes so 7 * 3 = 21 , 21 - 5 = 26"
    text = " ".join(t for t, _ in corrected(PROBLEM, failed, random.Random(0)))
    assert "yes so 7 * 3 = 21 , 21 - 5 = 16 wait so 7 * 3 = 21 , 21 + 5 = 26 </think>" in text
    assert task.verify(PROBLEM, text)
    # Nonsense after a false yes cannot be worked out: the mistake is replaced.
    failed = "<think> use 3 5 7 for 26 keep 7 want 33 19 182 : 3 5 get 8 2 15 yes so 5 / 3 = 2"
    assert "wait" not in " ".join(t for t, _ in corrected(PROBLEM, failed, random.Random(0)))
    # Four numbers, every kind of line.
    world, rng, mended = Countdown(4), random.Random(1), 0
    for problem in world.problems("train", 12):
        chain = " ".join(t for t, _ in traces.think(problem, rng, traces.Style(slip=0.0)))
        for part in range(1, chain.count(" no ") + 1):
            head = " no ".join(chain.split(" no ")[:part])
            failed = f"{head} yes so 4 - 3 = 1 , 2 + 1 = {problem.target} </think>"
            text = " ".join(t for t, _ in corrected(problem, failed, rng))
            assert text.startswith(f"{head} yes so 4 - 3 = 1 , 2 + 1 = 3 wait")
            assert world.verify(problem, text)
            mended += 1
    assert mended > 50


# --- the loop


def settings(tmp_path, name, **options):
    collect = rollouts(
        task, checker_reward(task), training_problems(task, 4, seed=1), 4, max_new_tokens=120
    )
    return {
        "collect": collect,
        "update": policy_gradient(minibatches=2),
        "schedule": Schedule(4, 1e-4, warmup_steps=2),
        "run_dir": tmp_path / name,
    } | options


def numbers(run_dir):
    return [
        {k: v for k, v in row.items() if not k.startswith("seconds")}
        for row in read_log(run_dir / "log.csv")
    ]


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    whole = Policy.load("nano-think")
    learn(whole, **settings(tmp_path, "whole"))
    for stop in (1, 2, None):
        halves = Policy.load("nano-think")
        learn(halves, **settings(tmp_path, "halves"), stop_after=stop)
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "halves")
    assert any(row["used_tokens"] for row in numbers(tmp_path / "whole"))
    for a, b in zip(whole.model.parameters(), halves.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not list((tmp_path / "halves").glob("*.part"))


def test_a_run_refuses_what_does_not_fit(tmp_path):
    learn(fresh(), **settings(tmp_path, "run"), stop_after=1)
    with pytest.raises(ValueError, match="belongs to another configuration"):
        learn(fresh(), **settings(tmp_path, "run", schedule=Schedule(9, 1e-4)))
    path = tmp_path / "run" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        learn(fresh(), **settings(tmp_path, "run"))
    learn(fresh(), **settings(tmp_path, "other"), stop_after=1, settings={"kl": 0})
    with pytest.raises(ValueError, match="another configuration"):
        learn(fresh(), **settings(tmp_path, "other"), settings={"kl": 1})
    with pytest.raises(ValueError, match="need steps"):
        Schedule(-1, 1e-4)
    with pytest.raises(ValueError, match="needs a reference"):
        policy_gradient(kl=0.1)


def test_a_run_stopped_before_its_first_save_starts_from_the_same_weights(tmp_path):
    whole, policy = fresh(), fresh()
    learn(whole, **settings(tmp_path, "whole"))
    with pytest.raises(KeyboardInterrupt):
        learn(policy, **settings(tmp_path, "run"), on_row=interrupt)
    learn(policy, **settings(tmp_path, "run"))
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "run")


def interrupt(log):
    if len(log.rows) == 2:
        raise KeyboardInterrupt


def test_a_gradient_that_is_no_number_stops_the_run(tmp_path):
    policy = fresh()
    learn(policy, **settings(tmp_path, "run"), stop_after=1)
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    with torch.no_grad():
        policy.model.model.norm.weight.fill_(float("nan"))
    batch = Batch([Experience([2, 60], [70], [-7.0], 1.0)])
    update = policy_gradient(bf16=False)
    optimizer = torch.optim.AdamW(policy.model.parameters())
    with pytest.raises(FloatingPointError, match="not a number"):
        update(policy, optimizer, batch)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


def test_cloning_one_chain_makes_it_likely(tmp_path):
    policy = fresh()
    document = Document(task.prompt(PROBLEM), [(RIGHT, True)])
    collect = lambda p, step: Batch([as_experience(p, document)])  # noqa: E731
    rows = learn(
        policy, collect, behavior_cloning(), Schedule(60, 3e-3, decay=False), tmp_path / "run",
        callback=lambda p, step: {"seen": step}, callback_every=25,
    ).rows  # fmt: skip
    assert [row.get("seen") for row in rows if row.get("seen") is not None] == [0, 25, 50, 60]
    assert rows[-1]["loss"] < 0.05
    [[chain]] = policy.sample([task.prompt(PROBLEM)], temperature=0)
    assert chain.text == RIGHT
    ids, _ = encode(tokenizer, document)
    assert chain.token_ids == ids[-len(chain.token_ids) :]
