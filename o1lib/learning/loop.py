"""The learning loop: `collect` samples (or what a search found), `update` the weights, again. Everything is resumable.

A *collector* is a function `(policy, step) -> Batch`; an *updater* is a function `(policy, optimizer, batch) -> numbers
to log`. Any collector goes with any updater: that is the roadmap's point that search and learning are two
halves of one method. The problems and the noise of a step follow from its number, so weights, optimizer and
the number of the step are the whole state of a run.

Left out on purpose: several processes, asynchronous rollouts, learning-rate schedules other than warm-up and linear decay.

Used in notebook 04.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm.auto import tqdm

from o1lib.lab.runlog import RunLog
from o1lib.lab.state import load_state, save_state
from o1lib.learning.losses import (
    clipped_surrogate,
    kl_penalty,
    negative_log_likelihood,
    token_weights,
)
from o1lib.model import attention
from o1lib.model.batching import like_lengths, make_optimizer, padded
from o1lib.model.policy import Policy


@dataclass(frozen=True)
class Experience:
    """One completion to learn from.

    Args:
        prompt_ids, completion_ids: token ids.
        logprobs: of the completion's tokens under the policy that sampled them (nats); empty when it was not sampled.
        advantage: how much better than expected it was; behavior cloning weighs by it.
        counted: which tokens of the completion count; empty for all.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float] = field(default_factory=list)
    advantage: float = 1.0
    counted: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True)
class Batch:
    """What one round of collecting found, with numbers for the log (mean reward, lengths, ...)."""

    experiences: list[Experience]
    stats: dict[str, float] = field(default_factory=dict)


Collector = Callable[[Policy, int], Batch]
Updater = Callable[[Policy, torch.optim.Optimizer, Batch], dict]


def completion_logprobs(
    model, experiences: list[Experience], length: int, bf16: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(logprobs, entropy, mask), each (rows, length - 1): of every next token; the mask is one on counted completion
    tokens. Differentiable (the entropy is not).
    """
    device = next(model.parameters()).device
    ids = padded([e.prompt_ids + e.completion_ids for e in experiences], length, 0).to(device)
    mask = padded(
        [
            [False] * len(e.prompt_ids) + (e.counted or [True] * len(e.completion_ids))
            for e in experiences
        ],
        length,
        False,
    )[:, 1:].to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    # Only the counted positions go through the softmax: most of a batch is prompt and padding.
    places = mask.nonzero(as_tuple=True)
    all_logprobs = logits[places].float().log_softmax(-1)
    chosen = all_logprobs.gather(-1, ids[:, 1:][places][:, None])[:, 0]
    logprobs = torch.zeros(mask.shape, device=device).index_put(places, chosen)
    with torch.no_grad():
        value = -(all_logprobs.exp() * all_logprobs).sum(-1)
    entropy = torch.zeros(mask.shape, device=device).index_put(places, value)
    return logprobs, entropy, mask


def _aligned(experiences, name: str, length: int) -> torch.Tensor:
    """A per-token list of completions, laid beside `completion_logprobs`."""
    rows = [[0.0] * (len(e.prompt_ids) - 1) + list(getattr(e, name)) for e in experiences]
    return padded(rows, length - 1, 0.0)


def _minibatches(experiences: list[Experience], n: int) -> list[list[Experience]]:
    """`n` minibatches of like total length and like mix of lengths."""
    order = sorted(experiences, key=len, reverse=True)
    return [part for part in (order[i::n] for i in range(n)) if part]


def _step(policy: Policy, optimizer, clip_norm: float) -> float:
    norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), clip_norm)
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient is not a number; the state saved last is kept")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)


def policy_gradient(
    clip: tuple[float, float] = (0.2, 0.28),
    average: str = "constant",
    max_length: int = 512,
    minibatches: int = 1,
    kl: float = 0.0,
    reference: torch.nn.Module | None = None,
    micro_tokens: int = 1024,
    clip_norm: float = 1.0,
    bf16: bool | None = None,
) -> Updater:
    """GRPO's update: the clipped surrogate, against the log-probabilities the *sampler* reported.

    So the ratio also corrects for the sampler's bfloat16. A batch without experiences changes nothing.

    Args:
        minibatches: optimizer steps per batch.
        kl, reference: weight of the KL penalty and the frozen model it is held against.
        max_length: the constant divisor of `average="constant"`: the completion length allowed.
    """
    if kl and reference is None:
        raise ValueError("a KL penalty needs a reference model")

    def update(policy: Policy, optimizer, batch: Batch) -> dict:
        model = policy.model
        use_bf16 = policy.bf16 if bf16 is None else bf16
        totals = {"loss": 0.0, "entropy": 0.0, "kl_sampler": 0.0, "clipped": 0.0, "kl": 0.0}
        tokens, norms = 0, []
        for part in _minibatches(batch.experiences, minibatches):
            lengths = torch.tensor([len(e.completion_ids) for e in part])
            weights = token_weights(lengths, average, max_length)
            for rows, length in like_lengths([len(e) for e in part], micro_tokens):
                some = [part[i] for i in rows]
                logprobs, entropy, mask = completion_logprobs(model, some, length, use_bf16)
                old = _aligned(some, "logprobs", length).to(logprobs)
                advantages = torch.tensor([[e.advantage] for e in some]).to(logprobs)
                losses = clipped_surrogate(logprobs, old, advantages, clip)
                if kl:
                    with torch.no_grad():
                        ref = completion_logprobs(reference, some, length, use_bf16)[0]
                    divergence = kl_penalty(logprobs, ref)
                    losses = losses + kl * divergence
                    totals["kl"] += float((divergence * mask).sum())
                loss = (losses * mask * weights[rows][:, None].to(logprobs)).sum()
                loss.backward()
                with torch.no_grad():
                    ratio = ((logprobs - old) * mask).exp()
                    totals["loss"] += float(loss)
                    totals["entropy"] += float((entropy * mask).sum())
                    totals["kl_sampler"] += float((kl_penalty(old, logprobs) * mask).sum())
                    outside = (ratio < 1 - clip[0]) | (ratio > 1 + clip[1])
                    totals["clipped"] += float((outside & mask).sum())
                    tokens += int(mask.sum())
            norms.append(_step(policy, optimizer, clip_norm))
        for name in ("entropy", "kl_sampler", "clipped", "kl"):
            totals[name] /= max(1, tokens)
        if not kl:
            totals.pop("kl")
        return totals | {"grad_norm": max(norms, default=0.0), "used_tokens": tokens}

    return update


def behavior_cloning(
    minibatch_tokens: int = 1024,
    micro_tokens: int = 1024,
    clip_norm: float = 1.0,
    bf16: bool | None = None,
) -> Updater:
    """Supervised learning on what was collected, weighted by the advantage: one pass, small minibatches.

    Source: the roadmap, Eq. 7.
    """

    def update(policy: Policy, optimizer, batch: Batch) -> dict:
        use_bf16 = policy.bf16 if bf16 is None else bf16
        todo, total, tokens, norms, updates = list(batch.experiences), 0.0, 0, [], 0
        while todo:
            part, size = [], 0
            while todo and size < minibatch_tokens:
                part.append(todo.pop())
                size += len(part[-1])
            counts = [sum(e.counted) if e.counted else len(e.completion_ids) for e in part]
            weight = 1 / max(1, sum(counts))
            for rows, length in like_lengths([len(e) for e in part], micro_tokens):
                some = [part[i] for i in rows]
                logprobs, _, mask = completion_logprobs(policy.model, some, length, use_bf16)
                advantages = torch.tensor([[e.advantage] for e in some]).to(logprobs)
                losses = negative_log_likelihood(logprobs) * advantages * mask
                (losses.sum() * weight).backward()
                total += float(losses.detach().sum())
            tokens += sum(counts)
            norms.append(_step(policy, optimizer, clip_norm))
            updates += 1
        return {
            "loss": total / max(1, tokens),
            "grad_norm": max(norms, default=0.0),
            "used_tokens": tokens,
            "updates": updates,
        }

    return update


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: `steps` rounds of collect and update, at a learning rate that rises linearly to `lr` and
    then, with `decay`, falls linearly to zero.
    """

    steps: int
    lr: float
    warmup_steps: int = 0
    weight_decay: float = 0.0
    decay: bool = True

    def __post_init__(self):
        if self.steps < 0 or not self.lr > 0:
            raise ValueError(f"need steps >= 0 and lr > 0, got {self.steps} and {self.lr}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from zero."""
        rate = self.lr * min(1.0, (step + 1) / max(1, self.warmup_steps))
        return rate * (1 - step / self.steps) if self.decay else rate


def learn(
    policy: Policy,
    collect: Collector,
    update: Updater,
    schedule: Schedule,
    run_dir: str | Path,
    *,
    settings: dict | None = None,
    save_minutes: float = 2.0,
    stop_after: int | None = None,
    stop_seconds: float | None = None,
    callback: Callable[[Policy, int], dict] | None = None,
    callback_every: int = 10,
    on_row: Callable[[RunLog], None] | None = None,
    label: str = "learn",
) -> RunLog:
    """Run the loop in place and return its log; an interrupted run in `run_dir` goes on where it was saved, to the same numbers.

    Args:
        settings: what else says which run this is (JSON); a saved run with others is refused, not continued.
        callback: `callback(policy, step)` before the first step, every `callback_every` steps and at the end; what it
            returns (e.g. success on the validation split) is logged.
        stop_after: stop after this many steps, as if interrupted (the state is saved).
        stop_seconds: stop when the run has taken this long, all its sittings together.
        on_row: called with the log after every step: a live plot.

    Raises:
        ValueError: when the saved state is unreadable or belongs to another schedule, or a reward is not finite.
        FloatingPointError: when a gradient is not a number; the last saved state is kept.
    """
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    model = policy.model
    options = vars(schedule) | (settings or {})
    optimizer = make_optimizer(model, schedule.lr, schedule.weight_decay)
    position = load_state(run_dir, model, optimizer, options)
    step = position["step"] if position else 0
    if not position:  # a run that is stopped early starts again from the same weights
        save_state(run_dir, model, optimizer, options, {"step": 0})
    log = RunLog(run_dir / "log.csv", keep=lambda row: int(row["step"]) <= step)
    on_cpu = next(model.parameters()).device.type == "cpu"
    model.set_attn_implementation(attention.NAME if on_cpu else "sdpa")
    model.eval()  # there is no dropout: training and evaluation are one mode
    policy.refresh()
    spent = sum(log.column("seconds"))
    if callback and not log.rows:
        log.write({"step": 0, "seconds": 0.0} | callback(policy, 0))
    bar = tqdm(total=schedule.steps, initial=step, desc=label, mininterval=1, leave=False)
    last_save, started = time.monotonic(), step
    while step < schedule.steps and (stop_after is None or step - started < stop_after):
        if stop_seconds is not None and spent >= stop_seconds:
            break
        begun = time.monotonic()
        batch = collect(policy, step)
        collected = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        row = {"step": step + 1} | batch.stats | update(policy, optimizer, batch)
        policy.refresh()
        step += 1
        row |= {
            "seconds": time.monotonic() - begun,
            "seconds_collect": collected - begun,
            "seconds_update": time.monotonic() - collected,
        }
        spent += row["seconds"]
        if callback and (step % callback_every == 0 or step == schedule.steps):
            row |= callback(policy, step)
        log.write(row)
        bar.update()
        if "reward" in row:
            bar.set_postfix(reward=f"{row['reward']:.3f}", refresh=False)
        if on_row:
            on_row(log)
        if time.monotonic() - last_save > 60 * save_minutes:
            save_state(run_dir, model, optimizer, options, {"step": step})
            last_save = time.monotonic()
    bar.close()
    save_state(run_dir, model, optimizer, options, {"step": step})
    log.close()
    model.set_attn_implementation("sdpa")
    return log
