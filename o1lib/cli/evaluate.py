"""`o1lib evaluate`: a checkpoint on puzzles, into a report that anyone can check again."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import signal
from collections import Counter
from pathlib import Path

import click

import o1lib


class _Searching(click.Command):
    """Lists searches and guidances in its help; they are looked up only there."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from o1lib.search.parts import shown
        from o1lib.search.registry import GUIDANCES, STRATEGIES

        def option(p: inspect.Parameter) -> str:
            return p.name if p.default is p.empty else f"{p.name}={shown(p.default)}"

        def listed(known: dict) -> list[tuple[str, str]]:
            return [
                (name, ", ".join(map(option, inspect.signature(make).parameters.values())) or "-")
                for name, make in known.items()
            ]

        with formatter.section("Searches and their options (-o KEY=VALUE)"):
            formatter.write_dl(listed(STRATEGIES))
        with formatter.section(
            "Guidances: NAME, NAME(KEY=VALUE, ...), or a value model (nano-value, a folder)"
        ):
            formatter.write_dl(listed(GUIDANCES))


@click.command("evaluate", cls=_Searching)
@click.option(
    "--puzzles",
    required=True,
    help="A file (JSON lines or CSV), or a split such as game24 or val_targets:3:100.",
)
@click.option("--checkpoint", default="think", help="Name or folder.")
@click.option(
    "--task",
    "world",
    type=click.Choice(["countdown", "arithmetic", "jugs"]),
    default="countdown",
    help="The world that a split belongs to; files hold puzzles of Countdown.",
)
@click.option(
    "--instruction",
    type=click.Choice(["think", "solve", "answer"]),
    default=None,
    help="By default think; solve for searches over steps, and for worlds that know no other.",
)
@click.option("--search", default="greedy", help="Name of a search, see below.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the search, see below; may be given several times.",
)
@click.option("--guidance", default=None, help="What judges partial solutions, see below.")
@click.option(
    "--select",
    type=click.Choice(["model", "checker"]),
    default="model",
    help="Who chooses the answer. The checker is stronger than a model can be alone.",
)
@click.option("--budget", type=click.IntRange(1), default=None, help="Generated tokens a puzzle.")
@click.option("--budget-scored", type=click.IntRange(0), default=None, help="Scored tokens.")
@click.option("--budget-checks", type=click.IntRange(0), default=None, help="Checker calls.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1), default=None, help="The same as -o max_new_tokens=."
)
@click.option("--temperature", type=float, default=None, help="The same as -o temperature=.")
@click.option("--seed", type=int, default=0)
@click.option(
    "--notation",
    type=click.Choice(["strict", "lenient"]),
    default="strict",
    help="lenient also reads the usual signs and LaTeX, for models that were not trained here.",
)
@click.option(
    "--prompt",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="A text file with {problem} where the puzzle stands. A model that was not trained here is "
    "by default told the rules and where the answer goes.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Report (JSON). Until it is complete, finished puzzles are kept beside it.",
)
@click.option("--resume", is_flag=True, help="Go on with a stopped evaluation of the same --out.")
def command(
    puzzles: str,
    checkpoint: str,
    world: str,
    instruction: str | None,
    search: str,
    options: tuple[str, ...],
    guidance: str | None,
    select: str,
    budget: int | None,
    budget_scored: int | None,
    budget_checks: int | None,
    max_new_tokens: int | None,
    temperature: float | None,
    seed: int,
    notation: str,
    prompt: Path | None,
    out: Path | None,
    resume: bool,
) -> None:
    """Let a checkpoint solve puzzles and check every answer.

    \b
    Examples:
      o1lib evaluate --puzzles game24 --checkpoint think-rl
      o1lib evaluate --puzzles my.csv --search best_of_n -o n=16 --out report.json
      o1lib evaluate --puzzles val_targets:3:100 --checkpoint nano-think \\
          --search mcts --guidance nano-value -o simulations=50
      o1lib evaluate --puzzles val_inputs:6:300 --task arithmetic \\
          --checkpoint nano-arithmetic --search sample -o n=32
    """
    from o1lib.lab.kept import Kept
    from o1lib.model.policy import Policy
    from o1lib.search.budget import Budget
    from o1lib.search.evaluate import evaluate, summary
    from o1lib.search.registry import guidance_of, strategy_of
    from o1lib.tasks.puzzles import WORLDS, read_puzzles

    if resume and not out:
        raise ValueError("--resume goes on with the report of --out: name it")
    problems = read_puzzles(puzzles, world)
    if world != "countdown":
        instruction = instruction or "solve"
    settings = read_options(options)
    for name, value in (("max_new_tokens", max_new_tokens), ("temperature", temperature)):
        if value is not None:
            settings[name] = value
    strategy = strategy_of(
        search, settings, guidance=guidance and guidance_of(guidance), select=select
    )
    caps = Budget(budget, budget_scored, budget_checks)
    template = prompt.read_text(encoding="utf-8") if prompt else None
    policy = Policy.load(checkpoint, template=template)
    how = {
        "task": WORLDS[world](),
        "instruction": instruction,
        "budget": caps,
        "notation": notation,
        "seed": seed,
    }
    said = {
        "checkpoint": checkpoint,
        "task": world,
        "puzzles": Path(puzzles).name,
        "guidance": guidance,
        "select": select,
        "prompt": policy.template,
    }
    if out is None:
        report = evaluate(policy, problems, strategy, **how)
        report["settings"] |= said
        return _say(report)

    identity = said | {
        "search": repr(strategy),
        "instruction": instruction,
        "budget": vars(caps),
        "notation": notation,
        "seed": seed,
        "puzzles": _digest([str(problem) for problem in problems]),
        "weights": _weights(checkpoint),
        "bf16": policy.bf16,
        "version": o1lib.__version__,
    }
    inputs = [path for path in (puzzles, prompt) if path is not None]
    with Kept(out, identity, resume, inputs) as kept, _stop_by_sigterm():
        done = resumable(kept.done, problems)
        left = [i for i in range(len(problems)) if i not in done]

        def keep(place: int, result: dict) -> None:
            done[left[place]] = result
            kept.add(left[place], result)

        begun_with = len(done)
        try:
            report = evaluate(policy, [problems[i] for i in left], strategy, on_result=keep, **how)
        except BaseException:
            if done:
                many = f"{len(done)} of {len(problems)} puzzles are kept"
                click.echo(f"stopped: {many} in {kept.lines}; --resume goes on", err=True)
            raise
        results = [done[i] for i in range(len(problems))]
        report |= summary(results) | {"results": results}
        report["settings"] |= said | {"resumed": begun_with}
        kept.finish(report)
    return _say(report)


def read_options(options: tuple[str, ...]) -> dict[str, str]:
    """`("n=16", "choose=by_vote")` as a dictionary. Raises `ValueError` for anything else."""
    found = {}
    for text in options:
        key, sign, value = text.partition("=")
        if not sign or not key or not value:
            raise ValueError(f"an option reads KEY=VALUE, got {text!r}")
        if key in found:
            raise ValueError(f"the option {key} is given twice")
        found[key] = value
    return found


def resumable(done: dict[int, dict], problems: list) -> dict[int, dict]:
    """The results that are what one uninterrupted evaluation finds.

    Equal puzzles are told apart by counting them, so they are evaluated in one go or again.
    """
    finished = Counter(str(problems[i]) for i in done)
    times = Counter(map(str, problems))
    return {i: r for i, r in done.items() if finished[str(problems[i])] == times[str(problems[i])]}


def _weights(checkpoint: str) -> str:
    from o1lib.lab.paths import file_hash
    from o1lib.model.checkpoints import find

    return _digest([file_hash(path) for path in sorted(find(checkpoint).glob("*.safetensors"))])


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _stop_by_sigterm():
    """A polite end of the process is an interruption: what is finished is said and kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(report: dict) -> None:
    each = {name: report[name] / report["n"] for name in ("tokens", "scored", "checks")}
    spent = ", ".join(f"{value:.0f} {name}" for name, value in each.items() if value)
    click.echo(
        f"{report['correct']:g} of {report['n']} correct ({report['accuracy']:.1%}), "
        f"{spent or 'nothing spent'} a puzzle, {report['seconds']:.1f} s"
    )
    for name, shown in (("pass", "at least one of k right"), ("majority", "the vote of k right")):
        if len(report.get(name, ())) > 1:
            each = ", ".join(f"{k}: {rate:.1%}" for k, rate in report[name].items())
            click.echo(f"{shown}: {each}")
    if "legal_steps" in report:
        click.echo(f"legal steps: {report['legal_steps']:.2%}")
