"""The same tasks and rewards through TRL: the only module that knows it. TRL is met here and
nowhere else, because it changes often.

Used by `o1lib bench rl`, by the experiment `with_trl` and by the tests that hold our losses against
TRL's; real language models come in notebook 07.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from o1lib.model.policy import Policy
from o1lib.reward.outcome import Reward, finite
from o1lib.tasks.base import refuse_held_out


def grpo_trainer(
    model,
    tokenizer,
    task,
    problems: Sequence,
    reward: Reward,
    out: str | Path,
    *,
    n: int = 8,
    prompts_per_step: int = 16,
    steps: int = 1,
    max_new_tokens: int = 256,
    lr: float = 1e-5,
    bf16: bool = False,
    rollout: Callable | None = None,
    **settings,
) -> GRPOTrainer:
    """TRL's `GRPOTrainer` on a task of ours, on whatever device the model is on.

    Args:
        prompts_per_step: problems of one update, `n` completions each.
        rollout: TRL's `rollout_func`, such as `our_sampler(policy)`; by default TRL samples with
            transformers' `generate`.
        settings: further fields of `GRPOConfig` (`loss_type`, `scale_rewards`, `beta`, `epsilon`,
            ...).

    Raises `ValueError` for a problem with a held-out goal.
    """
    for problem in problems:
        if hasattr(problem, "target"):
            refuse_held_out(problem.target)
    data = Dataset.from_list(
        [
            {"prompt": [{"role": "user", "content": task.prompt(p)}], "index": i}
            for i, p in enumerate(problems)
        ]
    )

    def score(completions, index, **_) -> list[float]:
        texts = [c[0]["content"] if isinstance(c, list) else c for c in completions]
        asked = [problems[i] for i in index]
        return finite(reward(asked, texts), asked)

    config = GRPOConfig(
        **_plain(model, out, steps, lr, bf16),
        per_device_train_batch_size=prompts_per_step * n,
        per_device_eval_batch_size=prompts_per_step * n,
        num_generations=n,
        max_completion_length=max_new_tokens,
        temperature=1.0,
        top_k=0,
        shuffle_dataset=False,
        **settings,
    )
    return _quiet(
        GRPOTrainer(
            model=model,
            reward_funcs=score,
            args=config,
            train_dataset=data,
            processing_class=tokenizer,
            rollout_func=rollout,
        )
    )


def our_sampler(policy: Policy, seed: int = 0) -> Callable:
    """A `rollout_func` for TRL that samples with our sampler.

    TRL hands it every prompt as often as it wants samples of it. At step s the samples are those
    that `o1lib.learning.collect.rollouts` draws with this seed from the same weights.

    Args:
        policy: wraps the very model that the trainer trains.
    """

    def rollout(prompts: list, trainer: GRPOTrainer) -> dict[str, list]:
        n = trainer.num_generations if trainer.model.training else trainer.num_generations_eval
        asked = [conversation[-1]["content"] for conversation in prompts[::n]]
        policy.refresh()  # the weights have changed since the last call
        groups = policy.sample(
            asked,
            n,
            temperature=trainer.temperature,
            max_new_tokens=trainer.max_completion_length,
            seed=(seed << 20) + trainer.state.global_step,
        )
        samples = [sample for group in groups for sample in group]
        return {
            "prompt_ids": [policy.encode(prompt) for prompt in asked for _ in range(n)],
            "completion_ids": [sample.token_ids for sample in samples],
            "logprobs": [sample.logprobs for sample in samples],
        }

    return rollout


def sft_trainer(
    model,
    tokenizer,
    documents: Sequence[tuple[list[int], list[bool]]],
    out: str | Path,
    *,
    documents_per_step: int = 16,
    steps: int = 1,
    lr: float = 1e-3,
    bf16: bool = False,
    **settings,
) -> SFTTrainer:
    """TRL's `SFTTrainer` on documents of ours, in their order, none cut or packed.

    Args:
        documents: token ids with their loss mask, as `o1lib.policy.corpus.encode` and
            `Mixture.next` give them (and refuse held-out goals): neither the prompt nor planted
            slips count. TRL calls a token that does not count -100.
        settings: further fields of `SFTConfig`.
    """
    data = Dataset.from_list(
        [
            {"input_ids": ids, "labels": [i if m else -100 for i, m in zip(ids, mask, strict=True)]}
            for ids, mask in documents
        ]
    )
    config = SFTConfig(
        **_plain(model, out, steps, lr, bf16),
        per_device_train_batch_size=documents_per_step,
        max_length=None,
        train_sampling_strategy="sequential",
        **settings,
    )
    return _quiet(
        SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    )


def _plain(model, out: str | Path, steps: int, lr: float, bf16: bool) -> dict:
    """Settings that all trainers share: no files, no reports, nothing recomputed to save memory."""
    return {
        "output_dir": str(out),
        "max_steps": steps,
        "learning_rate": lr,
        "use_cpu": next(model.parameters()).device.type == "cpu",
        "bf16": bf16,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


def _quiet(trainer: Trainer) -> Trainer:
    """The trainer, which keeps its log (`trainer.state.log_history`) and no longer prints it."""
    trainer.remove_callback(PrinterCallback)
    return trainer


def timed_steps(trainer: Trainer) -> list[tuple[float, float]]:
    """Train, and return for every update its seconds and, of these, the seconds of generation (none
    in supervised training).
    """
    steps: list[tuple[float, float]] = []
    generating = [0.0]

    def timed(prompts):
        begun = time.perf_counter()
        found = generate(prompts)
        generating[0] += time.perf_counter() - begun
        return found

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.begun, generating[0] = time.perf_counter(), 0.0

        def on_step_end(self, *_, **__):
            steps.append((time.perf_counter() - self.begun, generating[0]))

    if isinstance(trainer, GRPOTrainer):
        generate, trainer._generate = trainer._generate, timed
    trainer.add_callback(Clock())
    trainer.train()
    return steps


def logged(trainer: Trainer, name: str) -> list[float]:
    """What TRL has logged under a name (`loss`, `reward`, ...), one number an update."""
    return [row[name] for row in trainer.state.log_history if name in row]
