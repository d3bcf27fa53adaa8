"""Strategies, guidances and choices by name, for the command line and for files: the one place
that lists them.
"""

from __future__ import annotations

import inspect

from o1lib.search import choose, expand, guidance, sampling, trees
from o1lib.search.mcts import mcts
from o1lib.search.parts import Part

STRATEGIES = {
    "greedy": sampling.greedy,
    "sample": sampling.sample,
    "majority": sampling.majority,
    "best_of_n": sampling.best_of_n,
    "depth_first": trees.depth_first,
    "beam": trees.beam,
    "mcts": mcts,
}
GUIDANCES = {
    "oracle": guidance.oracle,
    "rollouts": guidance.rollouts,
    "judge": guidance.judge,
    "likelihood": guidance.likelihood,
    "correct": guidance.correct,
}
PARTS = GUIDANCES | {
    f.__name__: f
    for f in (
        choose.by_logprob,
        choose.by_value,
        choose.by_vote,
        choose.by_checker,
        expand.legal_steps,
        expand.any_step,
        expand.sampled_steps,
    )
}


def strategy_of(
    name: str,
    options: dict[str, object] | None = None,
    *,
    guidance: Part | None = None,
    select: str = "model",
) -> Part:
    """A strategy by its name.

    Args:
        options: its settings; texts are read as numbers, `true`, `false`, `none`, or the name of a
            part.
        guidance: values of partial solutions, for the strategies that take one.
        select: `checker` lets the checker choose among complete solutions, which is stronger than
            a model can be alone.

    Raises `ValueError`, with what there is, for an unknown name, option or value, and for a
    guidance that would not be used.
    """
    if name not in STRATEGIES:
        raise ValueError(f"unknown search {name!r}; choose from {', '.join(STRATEGIES)}")
    if select not in ("model", "checker"):
        raise ValueError(f"unknown select {select!r}; choose from model, checker")
    make = STRATEGIES[name]
    known = inspect.signature(make).parameters
    settings = {}
    for key, value in (options or {}).items():
        if key not in known:
            raise ValueError(f"{name} has no option {key!r}; it has {', '.join(known) or 'none'}")
        settings[key] = _read(key, value) if isinstance(value, str) else value
    if guidance is not None:
        if "guidance" not in known:
            takers = [
                n for n, f in STRATEGIES.items() if "guidance" in inspect.signature(f).parameters
            ]
            raise ValueError(f"{name} uses no guidance; {', '.join(takers)} do")
        settings["guidance"] = guidance
    elif "guidance" in known and known["guidance"].default is inspect.Parameter.empty:
        raise ValueError(f"{name} asks for values: give it a guidance")
    if select == "checker":
        if "leaf" in known:
            settings["leaf"] = PARTS["correct"]()
        elif "choose" in known:
            settings["choose"] = choose.by_checker()
        else:
            raise ValueError(f"{name} does not choose: select=checker would change nothing")
    if "guidance" in settings and name == "best_of_n" and "choose" not in settings:
        settings["choose"] = choose.by_value()
    return make(**settings)


def guidance_of(name: str) -> Part:
    """A guidance by its name (see `GUIDANCES`), or the value model of a checkpoint's name or
    folder.
    """
    if name in GUIDANCES:
        return GUIDANCES[name]()
    from o1lib.model.heads import ValueHead

    return guidance.value(ValueHead.load(name))


def _read(key: str, text: str):
    """A setting from its text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    if text in PARTS:
        return PARTS[text]()
    raise ValueError(
        f"{key}={text}: expected a number, true, false, none, or one of {', '.join(PARTS)}"
    )


def reads_steps(strategy: Part) -> bool:
    """Whether a strategy walks through the task's own steps, and so asks for `solve`."""
    return strategy.name in ("depth_first", "beam", "mcts") and (
        getattr(strategy.settings.get("expand"), "name", "legal_steps") != "sampled_steps"
    )
