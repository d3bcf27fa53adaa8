"""The comparison of trace grammars (notebook 01, section 3): the same small model, the same tokens,
three ways to write a chain, and the best of them with its numbers spelled in digits.

`o1lib train grammars` redoes it. Each grammar is trained from random weights on its own 4-number
chains alone, so that no drill favors one of them, and is judged on the validation splits only.
"""

from __future__ import annotations

from pathlib import Path

from o1lib.lab.evaluate import evaluate
from o1lib.lab.paths import data_dir, outputs_dir
from o1lib.lab.runlog import RunLog
from o1lib.policy.corpus import Mixture, think_part
from o1lib.policy.model import build_model
from o1lib.policy.policy import Policy
from o1lib.policy.tokenizer import build_tokenizer
from o1lib.policy.traces import GRAMMARS, Style
from o1lib.policy.train import TrainConfig, train
from o1lib.tasks.countdown import Countdown

DIGITS = " in digits"
CUTOFFS = (64, 128, 192, 256, 384, 512, 768, 1024)


def compare_grammars(
    tokens: int = 4_000_000,
    seeds: tuple[int, ...] = (0,),
    n: int = 200,
    size: str = "nano",
    out: str | Path | None = None,
    grammars: tuple[str, ...] = (*GRAMMARS, "fan" + DIGITS),
) -> Path:
    """Train and judge one model per grammar and seed; returns the CSV with a row per (grammar,
    seed, split, cut-off).

    A chain counts at a cut-off when it is right and has at most that many tokens.
    """
    out = Path(out or data_dir() / "logs" / "grammars.csv")
    task = Countdown(4)
    done = RunLog(out)
    finished = {(row["grammar"], row["seed"]) for row in done.rows}
    for seed in seeds:
        for grammar in grammars:
            if (grammar, seed) in finished:
                continue
            tokenizer = build_tokenizer(digits=grammar.endswith(DIGITS))
            style = Style(grammar.removesuffix(DIGITS))
            model = build_model(size, seed, tokenizer)
            mixture = Mixture({"think": (1.0, think_part(4, style))}, tokenizer, seed)
            folder = (
                outputs_dir()
                / "runs"
                / f"grammar-{grammar.replace(' ', '-')}-{size}-{tokens}-{seed}"
            )
            log = train(
                model,
                mixture,
                TrainConfig(tokens, 1024, 1024, lr=2e-3),
                folder,
                label=f"{grammar} {seed}",
            )
            rows = []
            for split in ("val_inputs", "val_targets"):
                report = evaluate(
                    Policy(model, tokenizer), task.problems(split, n), max_new_tokens=CUTOFFS[-1]
                )
                for cutoff in CUTOFFS:
                    right = sum(r["correct"] and r["tokens"] <= cutoff for r in report["results"])
                    rows.append({"grammar": grammar, "seed": seed, "size": size, "training_tokens": tokens, "split": split}
                                | {"cutoff": cutoff, "n": report["n"], "correct": right, "loss": log.rows[-1]["loss"]})  # fmt: skip
            for row in rows:
                done.write(row)
    done.close()
    return out
