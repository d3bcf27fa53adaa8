"""The same tasks and rewards through TRL: the only module that knows it. TRL is met here and
nowhere else, because it changes often.

Used by `o1lib bench rl` and by the tests that hold our losses against TRL's; real language models
come in notebook 07.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from o1lib.reward.outcome import Reward, finite


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
        rollout: TRL's `rollout_func`; by default TRL samples with transformers' `generate`.
        settings: further fields of `GRPOConfig` (`loss_type`, `scale_rewards`, `beta`, `epsilon`,
            ...).
    """
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
        output_dir=str(out),
        per_device_train_batch_size=prompts_per_step * n,
        per_device_eval_batch_size=prompts_per_step * n,
        num_generations=n,
        max_completion_length=max_new_tokens,
        max_steps=steps,
        learning_rate=lr,
        temperature=1.0,
        top_k=0,
        use_cpu=next(model.parameters()).device.type == "cpu",
        bf16=bf16,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        logging_steps=max(1, steps),
        disable_tqdm=True,
        shuffle_dataset=False,
        **settings,
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=score,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        rollout_func=rollout,
    )


def timed_steps(trainer: GRPOTrainer) -> list[tuple[float, float]]:
    """Train, and return for every update its seconds and, of these, the seconds of generation."""
    steps: list[tuple[float, float]] = []
    generating = [0.0]
    generate = trainer._generate

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

    trainer._generate = timed
    trainer.add_callback(Clock())
    trainer.train()
    return steps
