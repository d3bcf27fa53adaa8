"""The training loop, the only one: `collect` a batch, `update` the weights, again. Everything is
resumable.

A *collector* is a function `learner -> Batch`, an *update* a function `(learner, batch) -> numbers
to log`. Any collector goes with any update: that is the roadmap's point that search and learning
are two halves of one method. Pre-training collects documents, a value head labels, reinforcement
learning samples; the loop does not know which.

What a collector does must follow from `learner.step`, the weights and `learner.memory`: these and
the optimizers are the whole state of a run.

Left out on purpose: several processes, asynchronous rollouts.

Used in notebook 00.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from o1lib.lab.identity import describe, environment
from o1lib.lab.runlog import RunLog
from o1lib.lab.state import load_state, only_run, save_state
from o1lib.learning.completions import Batch, critic_values
from o1lib.learning.updates import Learner, Update
from o1lib.model import attention

Collector = Callable[[Learner], Batch]


def learn(
    learner: Learner,
    collect: Collector,
    update: Update,
    schedule,
    run_dir: str | Path,
    *,
    save_minutes: float = 2.0,
    stop_after: int | None = None,
    stop_seconds: float | None = None,
    callback: Callable[[Learner], dict] | None = None,
    callback_every: int = 10,
    on_row: Callable[[RunLog], None] | None = None,
    label: str = "learn",
) -> RunLog:
    """Run the loop in place and return its log; an interrupted run in `run_dir` goes on where it
    was saved, to the same numbers.

    A run begins at step 0 with fresh optimizers and an empty memory. It is identified by the
    weights of all models at its start, the collector, the update, the schedule, and the versions of
    o1lib and Python (`o1lib.lab.identity`). A finished run given again brings back its weights and
    its log. An interrupt (Ctrl-C) waits for the update at work and saves the state; the same call
    then goes on, also with the very models that the run has changed.

    Args:
        schedule: see `o1lib.learning.schedules`.
        run_dir: holds `log.csv` and `state.safetensors` (weights, optimizers, position; replaced
            atomically).
        callback: called before the first step, every `callback_every` steps and at the end; what it
            returns (e.g. success on the validation split) is logged. It must not change the
            learner, and does not decide which run it is.
        stop_after: stop after this many steps, as if interrupted (the state is saved).
        stop_seconds: stop when the run has taken this long, all its sittings together.
        on_row: called with the log after every step: a live plot.

    Raises:
        ValueError: when the folder holds another run or an unreadable one, another run is at work
            in it, or a reward is not finite.
        FloatingPointError: when a gradient is not a number; the last saved state is kept.
    """
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    with only_run(run_dir), attention.grouped(*(m.model for m in learner.models.values())):
        identity = {
            **environment(),
            "weights": {role: describe(model) for role, model in learner.models.items()},
            "collect": describe(collect),
            "update": describe(update),
            "schedule": describe(schedule),
        }
        learner.optimizers.clear()
        position = load_state(run_dir, learner, identity) or {"step": 0, "tokens": 0, "memory": {}}
        learner.step, learner.tokens = position["step"], position["tokens"]
        learner.memory = position["memory"]

        def snapshot() -> dict:
            position = {"step": learner.step, "tokens": learner.tokens, "memory": learner.memory}
            return json.loads(json.dumps(position))

        position = snapshot()  # the last point between two steps
        if not (run_dir / "state.safetensors").exists():
            # A run that is stopped early starts again from the same weights.
            save_state(run_dir, learner, identity, position)
        log = RunLog(run_dir / "log.csv", keep=lambda row: int(row["step"]) <= learner.step)
        for model in learner.models.values():
            model.model.eval()  # there is no dropout: training and evaluation are one mode
        learner.refresh()

        def done() -> int:
            return learner.step if schedule.unit == "steps" else learner.tokens

        bar = tqdm(
            total=schedule.total,
            initial=done(),
            unit={"steps": "it", "tokens": "tok"}[schedule.unit],
            unit_scale=schedule.unit == "tokens",
            desc=label,
            mininterval=1,
            leave=False,
        )
        started, spent, last_save = learner.step, sum(log.column("seconds")), time.monotonic()
        try:
            if callback and not log.rows:
                log.write({"step": 0, "seconds": 0.0} | callback(learner))
            while done() < schedule.total:
                if stop_after is not None and learner.step - started >= stop_after:
                    break
                if stop_seconds is not None and spent >= stop_seconds:
                    break
                begun, before = time.monotonic(), done()
                learner.rate = schedule.rate(before)
                batch = with_values(learner, collect(learner))
                collected = time.monotonic()
                row: dict = {}
                try:
                    with _uninterrupted():
                        found = update(learner, batch)
                        learner.refresh()
                        learner.step += 1
                        learner.tokens += sum(map(len, batch.rows))
                        position = snapshot()
                        row |= {"step": learner.step, "tokens": learner.tokens, "lr": learner.rate}
                        row |= batch.stats | found
                        row["seconds"] = time.monotonic() - begun
                        row["seconds_collect"] = collected - begun
                        row["seconds_update"] = time.monotonic() - collected
                    spent += row["seconds"]
                    last = done() >= schedule.total
                    if callback and (learner.step % callback_every == 0 or last):
                        row |= callback(learner)
                finally:  # what the weights have seen is in the log, whatever comes between
                    if row:
                        log.write(row)
                bar.update(done() - before)
                shown = {k: f"{row[k]:.3f}" for k in ("reward", "loss") if k in row}
                bar.set_postfix(dict(list(shown.items())[:1]), refresh=False)
                if on_row:
                    on_row(log)
                if time.monotonic() - last_save > 60 * save_minutes:
                    save_state(run_dir, learner, identity, position)
                    last_save = time.monotonic()
        except KeyboardInterrupt:
            save_state(run_dir, learner, identity, position)
            raise
        finally:
            bar.close()
            log.close()
        save_state(run_dir, learner, identity, position)
    return log


def with_values(learner: Learner, batch: Batch) -> Batch:
    """The batch with the critic's values before the update, where there is a critic."""
    if "critic" not in learner.models or not batch.rows or len(batch.values):
        return batch
    return replace(batch, values=critic_values(learner.network("critic"), batch.rows))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold a Ctrl-C back until the block is done, so that weights are never left half updated."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list = []
    before = signal.signal(signal.SIGINT, lambda *call: held.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held and callable(before):
            before(*held[0])
