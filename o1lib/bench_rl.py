"""Speed of reinforcement learning, measured: `o1lib bench rl`, one update of ours against TRL's. A
ratio of things run in turn in one process, never an absolute claim.
"""

from __future__ import annotations

import tempfile
from statistics import median

from o1lib.lab import machine
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import rollouts
from o1lib.learning.loop import learn
from o1lib.learning.losses import ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.checkpoints import load
from o1lib.model.policy import Policy
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown


def bench_rl(prompts: int = 16, n: int = 8, steps: int = 4, max_new_tokens: int = 256) -> dict:
    """One GRPO update, ours against TRL's `GRPOTrainer`: the same model, problems, group size,
    lengths, float32, one process.

    Prints seconds per update (median, the first not counted) and where they go, the mean rewards
    and the most memory held. The learning rate is so low that both policies stay what they are, so
    rewards may differ by the noise of sampling alone; the experiment `with_trl` compares curves.
    """
    from o1lib.backends.trl import grpo_trainer, logged, timed_steps

    task = Countdown(3)
    asked = task.problems("train", prompts * (steps + 1))
    model, tokenizer = load("nano-think")
    policy, reward = Policy(model, tokenizer, bf16=False), checker_reward(task)
    collect = rollouts(
        task,
        reward,
        lambda step: asked[step * prompts : (step + 1) * prompts],
        n,
        max_new_tokens=max_new_tokens,
    )
    memory = [machine.peak_memory()]
    with tempfile.TemporaryDirectory() as folder:
        log = learn(
            Learner.of(policy),
            collect,
            fit(ppo(), advantage=group_mean, max_length=max_new_tokens),
            Schedule(steps + 1, 1e-9, decay=False),
            folder,
            label="ours",
        )
        ours = [(r["seconds"], r["seconds_collect"]) for r in log.rows[1:]]
        memory.append(machine.peak_memory())
        trainer = grpo_trainer(
            load("nano-think")[0],
            tokenizer,
            task,
            asked,
            reward,
            folder,
            n=n,
            prompts_per_step=prompts,
            steps=steps + 1,
            max_new_tokens=max_new_tokens,
            lr=1e-9,
            loss_type="dr_grpo",
            scale_rewards="none",
            beta=0.0,
        )
        theirs = timed_steps(trainer)[1:]
        memory.append(machine.peak_memory())
    length = sum(r["length"] for r in log.rows[1:]) / len(log.rows[1:])
    used = sum(r["informative_share"] for r in log.rows[1:]) / len(log.rows[1:])
    facts = machine.describe()
    print(
        f"rl: nano-think, {prompts} prompts x {n}, at most {max_new_tokens} new tokens "
        f"(mean {length:.0f}), float32, {facts['threads']} threads, median of {steps}"
    )
    result = {}
    for name, times in (("ours", ours), ("TRL", theirs)):
        total, generation = median(t for t, _ in times), median(g for _, g in times)
        result[name] = total
        print(
            f"  {name}: {total:.2f} s an update, {generation:.2f} s of it sampling, "
            f"{total - generation:.2f} s the rest"
        )
    result["ratio"] = result["TRL"] / result["ours"]
    ratios = [t / o for (t, _), (o, _) in zip(theirs, ours, strict=True)]
    print(
        f"  ratio: {result['ratio']:.1f} ({min(ratios):.1f} to {max(ratios):.1f}); ours leaves out "
        f"groups of equal rewards and updates on {used:.0%} of the completions"
    )
    rewards = [sum(c) / len(c) for c in (log.column("reward"), logged(trainer, "reward"))]
    share = sum(rewards) / 2
    noise = (2 * share * (1 - share) / (prompts * n * (steps + 1))) ** 0.5
    print(
        f"  mean reward: ours {rewards[0]:.3f}, TRL {rewards[1]:.3f} "
        f"(sampling alone makes a standard deviation of at most {noise:.3f})"
    )
    # The mark never falls: TRL, which runs second, reads more than ours only where it took more.
    if None not in memory:
        result |= {"memory_ours": memory[1] - memory[0], "memory_TRL": memory[2] - memory[0]}
        print(
            f"  most memory held, over {memory[0]:,.0f} MiB of libraries and model: ours "
            f"{result['memory_ours']:,.0f} MiB, then TRL {result['memory_TRL']:,.0f} MiB"
        )
    return result
