"""One supervised trainer, for pre-training and for instruction fine-tuning: next-token loss on the
counted tokens.

Documents are never cut and never see each other. A batch is drawn by tokens, sorted by length and
split into micro-batches of documents of like length (padding is a few percent); positions start at
zero in every document, as they do when sampling. The
loss of a batch is the mean over its counted tokens, whatever the split.

Left out on purpose: dropout, several epochs (documents are endless), multi-process training.

Used in notebook 01, section 4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from o1lib.lab.machine import fast_bf16
from o1lib.lab.runlog import RunLog
from o1lib.lab.state import load_state, save_state
from o1lib.model import attention
from o1lib.model.batching import like_lengths, make_optimizer, padded
from o1lib.policy.corpus import Mixture


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a supervised run.

    Args:
        tokens: how many tokens to train on.
        batch_tokens, micro_tokens: tokens of an update, and of one forward pass (memory).
        lr: peak learning rate of AdamW; linear warm-up over `warmup` of the tokens, then cosine to
            a twentieth of it.
        weight_decay, clip: AdamW's decay of matrices; gradient norm limit.
    """

    tokens: int
    batch_tokens: int = 16_384
    micro_tokens: int = 2_048
    lr: float = 2e-3
    warmup: float = 0.03
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self):
        for name in ("tokens", "batch_tokens", "micro_tokens", "lr", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")


def learning_rate(config: TrainConfig, tokens: int) -> float:
    """Linear warm-up, then cosine to 5% of the peak, by tokens seen."""
    progress = min(1.0, tokens / config.tokens)
    if progress < config.warmup:
        return config.lr * (progress + 1e-3) / (config.warmup + 1e-3)
    angle = math.pi * (progress - config.warmup) / max(1e-9, 1 - config.warmup)
    return config.lr * (0.05 + 0.95 * 0.5 * (1 + math.cos(angle)))


def micro_batches(documents, limit: int, pad: int):
    """Documents of like length, padded: tensors (ids, counted) of shape (rows, length)."""
    for rows, length in like_lengths([len(ids) for ids, _ in documents], limit):
        yield (
            padded([documents[i][0] for i in rows], length, pad),
            padded([documents[i][1] for i in rows], length, False),
        )


def token_losses(model: PreTrainedModel, ids: torch.Tensor, bf16: bool) -> torch.Tensor:
    """Cross-entropy of every next token, in nats; shape (rows, longest - 1). Right padding needs no
    attention mask.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none").view(
        ids.shape[0], -1
    )


def train(
    model: PreTrainedModel,
    mixture: Mixture,
    config: TrainConfig,
    run_dir: str | Path,
    *,
    bf16: bool | None = None,
    save_minutes: float = 3.0,
    stop_after: int | None = None,
    callback: Callable[[int, PreTrainedModel], dict] | None = None,
    callback_every: int = 0,
    label: str = "train",
) -> RunLog:
    """Train a model in place and return its run log; an interrupted run in `run_dir` goes on
    exactly where it was saved.

    Args:
        model: a causal language model; its device decides where the training runs.
        mixture: the documents; its position is part of the saved state.
        run_dir: holds `log.csv` and `state.safetensors` (weights, optimizer, position; replaced
            atomically).
        bf16: autocast to bfloat16; by default where the processor has it.
        stop_after: stop after this many updates, as if interrupted (the state is saved).
        callback: called every `callback_every` updates as `callback(step, model)`; what it returns
            is logged.

    Raises:
        ValueError: when the saved state belongs to another configuration, is unreadable, or a
            document has a held-out goal.
        FloatingPointError: when the loss is not a number; the last saved state is kept.
    """
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    device = next(model.parameters()).device
    bf16 = fast_bf16(device.type) if bf16 is None else bf16
    optimizer = make_optimizer(model, config.lr, config.weight_decay)
    kinds = token_kinds(mixture.tokenizer).to(device)
    pad = mixture.tokenizer.pad_token_id
    settings = {"config": asdict(config), "seed": mixture.seed, "parts": list(mixture.parts)}
    position = load_state(run_dir, model, optimizer, settings)
    step, tokens = 0, 0
    if position:
        step, tokens, mixture.state = position["step"], position["tokens"], position["mixture"]
    log = RunLog(run_dir / "log.csv", keep=lambda row: int(row["step"]) <= step)
    model.train()
    model.set_attn_implementation(attention.NAME if device.type == "cpu" else "sdpa")
    bar = tqdm(
        total=config.tokens,
        initial=tokens,
        unit="tok",
        unit_scale=True,
        desc=label,
        mininterval=2,
        leave=False,
    )

    def save():
        position = {"step": step, "tokens": tokens, "mixture": mixture.state}
        save_state(run_dir, model, optimizer, settings, position)

    last_save, started = time.monotonic(), step
    while tokens < config.tokens and (stop_after is None or step - started < stop_after):
        begun = time.monotonic()
        documents = mixture.batch(config.batch_tokens)
        n_counted = sum(sum(mask[1:]) for _, mask in documents)
        sums, counts = (
            torch.zeros(len(KINDS), device=device),
            torch.zeros(len(KINDS), device=device),
        )
        for ids, counted in micro_batches(documents, config.micro_tokens, pad):
            ids, counted = ids.to(device), counted[:, 1:].to(device)
            losses = token_losses(model, ids, bf16)[counted]
            (losses.sum() / n_counted).backward()
            kind = kinds[ids[:, 1:][counted]]
            sums.index_add_(0, kind, losses.detach())
            counts.index_add_(0, kind, torch.ones_like(losses))
        loss = float(sums.sum() / n_counted)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at update {step + 1}; the state saved last is kept in {run_dir.name}"
            )
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        rate = learning_rate(config, tokens)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        new = sum(len(ids) for ids, _ in documents)
        tokens += new
        bar.update(new)
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        row = {"step": step, "tokens": tokens, "lr": rate, "loss": loss, "grad_norm": float(norm)}
        row |= {
            f"loss_{name}": float(s / c) if c else ""
            for name, s, c in zip(KINDS, sums, counts, strict=True)
        }
        row["seconds"] = time.monotonic() - begun
        if callback and callback_every and (step % callback_every == 0 or tokens >= config.tokens):
            row |= callback(step, model)
            model.train()
        log.write(row)
        if time.monotonic() - last_save > 60 * save_minutes:
            save()
            last_save = time.monotonic()
    bar.close()
    save()
    log.close()
    model.set_attn_implementation("sdpa")
    model.eval()
    return log


# Losses are logged per kind of token: a mean hides a policy that never says yes (POLICY: run C).
KINDS = ("numbers", "yes", "no", "words")


def token_kinds(tokenizer) -> torch.Tensor:
    """The kind (index into `KINDS`) of every token id."""
    kinds = torch.full((len(tokenizer),), KINDS.index("words"))
    for token, index in tokenizer.get_vocab().items():
        bare = token.removeprefix("▁")
        if bare.isdigit():
            kinds[index] = KINDS.index("numbers")
        elif bare in KINDS:
            kinds[index] = KINDS.index(bare)
    return kinds
