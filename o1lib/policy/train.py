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

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from o1lib.lab.machine import fast_bf16
from o1lib.lab.runlog import RunLog
from o1lib.policy import attention
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


# oneDNN prepares a kernel for every new matrix shape, which costs more than using it: lengths are
# rounded up to a multiple, so that shapes repeat, and the kernels are kept. (Twice as fast as rows
# of any length.)
LENGTH_MULTIPLE = 32
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")


def micro_batches(documents, limit: int, pad: int):
    """Documents of like length, padded on the right: tensors (ids, counted) of shape (rows,
    length).
    """
    documents = sorted(documents, key=lambda document: len(document[0]))
    while documents:
        rows = [documents.pop()]
        longest = -(-(len(rows[0][0]) - 1) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE + 1
        while documents and (len(rows) + 1) * longest <= limit:
            rows.append(documents.pop())
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in rows])
        counted = torch.tensor([mask + [False] * (longest - len(mask)) for _, mask in rows])
        yield ids, counted


def token_losses(model: PreTrainedModel, ids: torch.Tensor, bf16: bool) -> torch.Tensor:
    """Cross-entropy of every next token, in nats; shape (rows, longest - 1). Right padding needs no
    attention mask.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none").view(
        ids.shape[0], -1
    )


def make_optimizer(model: PreTrainedModel, config: TrainConfig) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)


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
    optimizer = make_optimizer(model, config)
    kinds = token_kinds(mixture.tokenizer).to(device)
    pad = mixture.tokenizer.pad_token_id
    step, tokens = load_state(run_dir, model, optimizer, mixture, config)
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
            save_state(run_dir, model, optimizer, mixture, config, step, tokens)
            last_save = time.monotonic()
    bar.close()
    save_state(run_dir, model, optimizer, mixture, config, step, tokens)
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


# --- saving and resuming


def _named_state(model, optimizer) -> dict[str, torch.Tensor]:
    names = {p: n for n, p in model.named_parameters()}
    tensors = {f"model.{n}": p.detach() for n, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            for key, value in optimizer.state.get(p, {}).items():
                tensors[f"optimizer.{names[p]}.{key}"] = value
    return {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}


def save_state(
    run_dir: Path, model, optimizer, mixture: Mixture, config: TrainConfig, step: int, tokens: int
) -> None:
    """Write weights, optimizer and position as one safetensors file, replaced atomically."""
    position = {
        "config": asdict(config),
        "seed": mixture.seed,
        "mixture": mixture.state,
        "step": step,
        "tokens": tokens,
    }
    partial = run_dir / "state.safetensors.part"
    save_file(_named_state(model, optimizer), partial, metadata={"position": json.dumps(position)})
    os.replace(partial, run_dir / "state.safetensors")


def load_state(
    run_dir: Path, model, optimizer, mixture: Mixture, config: TrainConfig
) -> tuple[int, int]:
    """Restore a saved run in place; returns (updates, tokens) done, (0, 0) when there is nothing to
    restore.
    """
    path = run_dir / "state.safetensors"
    if not path.exists():
        return 0, 0
    try:
        with safe_open(path, "pt") as file:
            position = json.loads(file.metadata()["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); delete it to start this run again"
        ) from error
    if (
        position["config"] != asdict(config)
        or position["seed"] != mixture.seed
        or set(position["mixture"]) != set(mixture.parts)
    ):
        raise ValueError(
            f"{path} belongs to another configuration; delete it or choose another folder"
        )
    with torch.no_grad():
        for name, p in model.named_parameters():
            if f"model.{name}" not in tensors or tensors[f"model.{name}"].shape != p.shape:
                raise ValueError(
                    f"{path} belongs to another model; delete it or choose another folder"
                )
            p.copy_(tensors[f"model.{name}"])
    for name, p in model.named_parameters():
        prefix = f"optimizer.{name}."
        found = {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if found:
            optimizer.state[p] = {
                key: value.to(p.device) if value.ndim else value for key, value in found.items()
            }
    mixture.state = position["mixture"]
    return position["step"], position["tokens"]
