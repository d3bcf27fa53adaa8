"""Supervised training: documents, next-token loss on the tokens that count, a schedule by tokens.
The one loop does the rest.

Documents are never cut and never see each other. A batch is drawn by tokens, sorted by length and
split into micro-batches of documents of like length (padding is a few percent); positions start at
zero in every document, as they do when sampling. The
loss of a batch is the mean over its tokens that count, whatever the split.

Left out on purpose: dropout, several epochs (documents are endless).

Used in notebook 01.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from o1lib.lab.runlog import RunLog
from o1lib.learning.collect import documents
from o1lib.learning.completions import Rows
from o1lib.learning.loop import learn
from o1lib.learning.losses import Loss, clone
from o1lib.learning.schedules import Cosine
from o1lib.learning.updates import Learner, fit
from o1lib.model.policy import Policy
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


def train(
    model: PreTrainedModel,
    mixture: Mixture,
    config: TrainConfig,
    run_dir: str | Path,
    *,
    bf16: bool | None = None,
    **options,
) -> RunLog:
    """Train a model in place and return its run log; an interrupted run in `run_dir` goes on
    exactly where it was saved.

    Args:
        model: a causal language model; its device decides where the training runs.
        mixture: the documents.
        bf16: autocast to bfloat16; by default where the processor has it.
        options: those of `learn` (`stop_after`, `callback`, `label`, ...).

    Raises as `learn` does, and `ValueError` when a document has a held-out goal.
    """
    policy = Policy(model, mixture.tokenizer, bf16)
    update = fit(
        clone_by_kind(mixture.tokenizer),
        average="token",
        micro_tokens=config.micro_tokens,
        clip_norm=config.clip,
        weight_decay=config.weight_decay,
    )
    return learn(
        Learner.of(policy),
        documents(mixture, config.batch_tokens),
        update,
        Cosine(config.tokens, config.lr, config.warmup),
        run_dir,
        **({"save_minutes": 3.0, "label": "train"} | options),
    )


# Losses are logged per kind of token: a mean hides a policy that never says yes (POLICY: run C).
KINDS = ("numbers", "yes", "no", "words")


def clone_by_kind(tokenizer: PreTrainedTokenizerFast) -> Loss:
    """The loss `clone`, with a column for each kind of token: `loss_numbers`, `loss_yes`,
    `loss_no`, `loss_words`.
    """

    def loss(rows: Rows) -> torch.Tensor:
        losses = clone(rows)
        kind = token_kinds(tokenizer).to(losses.device)[rows.ids[:, 1:]]
        for index, name in enumerate(KINDS):
            rows.report(rows.mask * (kind == index), **{f"loss_{name}": losses})
        return losses

    return loss


def token_kinds(tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """The kind (index into `KINDS`) of every token id."""
    if tokenizer not in _kinds:
        kinds = torch.full((len(tokenizer),), KINDS.index("words"))
        for token, index in tokenizer.get_vocab().items():
            bare = token.removeprefix("▁")
            if bare.isdigit():
                kinds[index] = KINDS.index("numbers")
            elif bare in KINDS:
                kinds[index] = KINDS.index(bare)
        _kinds[tokenizer] = kinds
    return _kinds[tokenizer]


_kinds: dict[PreTrainedTokenizerFast, torch.Tensor] = {}
