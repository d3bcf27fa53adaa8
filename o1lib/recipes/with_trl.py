"""The same training here and in TRL: GRPO from `nano-gives-up`, and supervised training of
`nano-base`, with the same data, losses, learning rate and AdamW, in float32.

Every run is a process of its own, so that the memory it reports is its own. TRL, an extra
(`pip install o1lib[trl]`), is imported in these processes only.

Left out on purpose: a warm-up of the rate. TRL's begins at a rate of zero, ours does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from o1lib.lab.machine import peak_memory
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.completions import Batch, Completion
from o1lib.learning.loop import Collector, learn
from o1lib.learning.losses import clone, ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, Update, fit
from o1lib.model.checkpoints import load
from o1lib.model.policy import Policy
from o1lib.policy.corpus import Mixture, think_parts
from o1lib.policy.traces import Style
from o1lib.recipes.headroom import GIVE_UP
from o1lib.recipes.measures import tries
from o1lib.reward.outcome import checker_reward
from o1lib.tasks.countdown import Countdown

PROMPTS, SAMPLES, MOST_TOKENS, GRPO_RATE = 16, 8, 128, 1e-4
DOCUMENTS, SFT_RATE = 16, 1e-3
CURVES = ("reward", "entropy", "loss")
# What `learn` does, in TRL's words: the decay rates of our AdamW, and a rate that stays. The mean
# over all sampled tokens (`average="token"`) is the loss type `bnpo`, for a batch is one pass here.
SAME = {"adam_beta2": 0.95, "lr_scheduler_type": "constant"}
SAME_GRPO = SAME | {"loss_type": "bnpo", "scale_rewards": "none", "beta": 0.0}


def grpo(seed: int, folder: Path, by: str, steps: int = 20, problems: int = 100) -> Iterator[dict]:
    """GRPO on three numbers by the outcome alone, `by` "ours", "TRL" or "TRL with our sampler":
    the reward of every update, and pass@1 on held-out goals before and after.
    """
    yield from _alone(_grpo, seed, by, steps, problems)


def sft(seed: int, folder: Path, by: str, steps: int = 20) -> Iterator[dict]:
    """Supervised training on a demonstrator that gives up, `by` "ours" or "TRL": the loss of every
    update, on the same documents in the same order.
    """
    yield from _alone(_sft, seed, by, steps)


def _alone(run: Callable[..., list[dict]], *args) -> list[dict]:
    """What `run(*args, folder)` returns in a fresh process, with a folder that is then deleted."""
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(run, *args, folder).result()


def _grpo(seed: int, by: str, steps: int, problems: int, folder: str) -> list[dict]:
    task, start = Countdown(3), "nano-gives-up"
    policy = Policy(*load(start), bf16=False)
    reward, fresh = checker_reward(task), training_problems(task, PROMPTS, seed)
    if by == "ours":
        collect = rollouts(task, reward, fresh, SAMPLES, max_new_tokens=MOST_TOKENS, seed=seed)
        update = fit(ppo(), advantage=group_mean, average="token")
        rows = _here(policy, collect, update, Schedule(steps, GRPO_RATE, decay=False), folder)
    else:
        from o1lib.backends import trl

        trainer = trl.grpo_trainer(
            policy.model,
            policy.tokenizer,
            task,
            [problem for step in range(steps) for problem in fresh(step)],
            reward,
            folder,
            n=SAMPLES,
            prompts_per_step=PROMPTS,
            steps=steps,
            max_new_tokens=MOST_TOKENS,
            lr=GRPO_RATE,
            rollout=None if by == "TRL" else trl.our_sampler(policy, seed),
            seed=seed,
            **SAME_GRPO,
        )
        rows = _there(trainer)
        policy.refresh()
    held_out = task.problems("val_targets", problems)
    for step, one in ((0, Policy(*load(start), bf16=False)), (steps, policy)):
        found = tries(one, task, held_out, SAMPLES)
        rows.append({"step": step, "metric": "pass@1, held-out goals", "value": found["pass@1"]})
    return rows


def _sft(seed: int, by: str, steps: int, folder: str) -> list[dict]:
    policy = Policy(*load("nano-base"), bf16=False)
    mixture = Mixture(think_parts(3, Style(give_up=GIVE_UP)), policy.tokenizer, seed)
    documents = [mixture.next() for _ in range(steps * DOCUMENTS)]
    if by == "ours":
        update = fit(clone, average="token")
        schedule = Schedule(steps, SFT_RATE, decay=False)
        return _here(policy, in_order(documents, DOCUMENTS), update, schedule, folder)
    from o1lib.backends import trl

    trainer = trl.sft_trainer(
        policy.model,
        policy.tokenizer,
        documents,
        folder,
        documents_per_step=DOCUMENTS,
        steps=steps,
        lr=SFT_RATE,
        **SAME,
    )
    return _there(trainer)


def in_order(documents: Sequence[tuple[list[int], list[bool]]], n: int) -> Collector:
    """The next `n` documents (token ids and loss mask) at every step, as TRL takes them."""

    def collect(learner: Learner) -> Batch:
        some = documents[learner.step * n :][:n]
        return Batch([Completion(ids[:1], ids[1:], loss_mask=mask[1:]) for ids, mask in some])

    return collect


def _here(policy, collect: Collector, update: Update, schedule: Schedule, folder) -> list[dict]:
    before = peak_memory()
    log = learn(Learner.of(policy), collect, update, schedule, folder)
    curves = {name: log.column(name) for name in CURVES if name in log.rows[0]}
    sampling = log.column("seconds_collect") if "reward" in curves else [0.0] * len(log.rows)
    return _rows(curves, list(zip(log.column("seconds"), sampling, strict=True)), before)


def _there(trainer) -> list[dict]:
    from o1lib.backends.trl import logged, timed_steps

    before = peak_memory()
    times = timed_steps(trainer)
    curves = {name: values for name in CURVES if (values := logged(trainer, name))}
    return _rows(curves, times, before)


def _rows(curves: dict[str, list[float]], times: Sequence[tuple[float, float]], before) -> list:
    """Curves, and of all updates but the first (which prepares things) the medians of the seconds
    and, of these, of sampling; and the most memory of the process, with its libraries, before and
    after.
    """
    last, later = {"step": len(times)}, times[1:] or times
    numbers = {
        "seconds an update": median(t for t, _ in later),
        "seconds of it sampling": median(s for _, s in later),
        "memory before, MiB": before,
        "peak memory, MiB": peak_memory(),
    }
    return [
        {"step": step, "metric": name, "value": value}
        for name, values in curves.items()
        for step, value in enumerate(values, 1)
    ] + [last | {"metric": m, "value": v} for m, v in numbers.items() if v is not None]
