"""Strategies, guidances and choices by name, for the command line and for files: the one place
that lists them.
"""

from __future__ import annotations

import inspect

from o1lib.search import (
    best_first,
    choose,
    confidence,
    expand,
    guidance,
    heuristics,
    mcts,
    rejection,
    revision,
    sampling,
    thinking,
    thoughts,
    trees,
)
from o1lib.search.mctsr import mctsr
from o1lib.search.parts import Part

STRATEGIES = {
    # sampling
    "greedy": sampling.greedy,
    "sample": sampling.sample,
    "majority": sampling.majority,
    "weighted_vote": sampling.weighted_vote,
    "best_of_n": sampling.best_of_n,
    "retry": sampling.retry,
    "speculative_rejection": rejection.speculative_rejection,
    "budget_forcing": thinking.budget_forcing,
    # trees
    "depth_first": trees.depth_first,
    "random_steps": trees.random_steps,
    "beam": trees.beam,
    "lookahead": trees.lookahead,
    "dvts": trees.dvts,
    "tot_bfs": thoughts.tot_bfs,
    "tot_dfs": thoughts.tot_dfs,
    "mcts": mcts.mcts,
    "token_mcts": mcts.token_mcts,
    # best first
    "best_first": best_first.best_first,
    "a_star": best_first.a_star,
    # revision
    "self_refine": revision.self_refine,
    "reflexion": revision.reflexion,
    "best_then_revise": revision.best_then_revise,
    "mctsr": mctsr,
}
GUIDANCES = {
    # the truth, and the world
    "oracle": guidance.oracle,
    "correct": guidance.correct,
    "legal": guidance.legal,
    # rules of thumb
    "distance": heuristics.distance,
    "factors": heuristics.factors,
    "steps_left": heuristics.steps_left,
    # the policy
    "rollouts": guidance.rollouts,
    "judge": guidance.judge,
    "likelihood": guidance.likelihood,
    "self_consistency": confidence.self_consistency,
    "semantic_entropy": confidence.semantic_entropy,
    "self_evaluation": confidence.self_evaluation,
    "self_verification": confidence.self_verification,
    # made of others
    "ahead": guidance.ahead,
    "implicit_reward": guidance.implicit_reward,
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
        expand.proposed_steps,
        expand.sampled_steps,
        expand.sampled_tokens,
        expand.whole_responses,
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
        options: its settings; texts are read as numbers, `true`, `false`, `none`, or as a part,
            such as `by_vote` or `sampled_steps(n=8)`.
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
        settings[key] = _read(known[key], value) if isinstance(value, str) else value
    if guidance is not None:
        if "guidance" not in known:
            takers = [
                n for n, f in STRATEGIES.items() if "guidance" in inspect.signature(f).parameters
            ]
            raise ValueError(f"{name} uses no guidance; {', '.join(takers)} do")
        settings["guidance"] = guidance
    elif (
        "guidance" in known.keys() - settings
        and known["guidance"].default is inspect.Parameter.empty
    ):
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


def guidance_of(text: str) -> Part:
    """A guidance by its name (see `GUIDANCES`), with settings where it has some, such as
    `rollouts(n=2)` or `ahead(guidance=nano-value, k=1)`, or the value model of a checkpoint's name
    or folder. Raises `ValueError` with what is wrong.
    """
    if text.split("(")[0] in GUIDANCES:
        return _part(text)
    from o1lib.model.heads import ValueHead

    return guidance.value(ValueHead.load(text))


def _part(text: str) -> Part:
    """A part from `name` or `name(key=value, ...)`."""
    name, opened, rest = text.partition("(")
    if opened and not rest.endswith(")"):
        raise ValueError(f"{text}: the bracket is not closed")
    known, settings = inspect.signature(PARTS[name]).parameters, {}
    for setting in _parted(rest.removesuffix(")")):
        key, sign, value = (piece.strip() for piece in setting.partition("="))
        if not sign or key not in known:
            has = ", ".join(known) or "none"
            raise ValueError(f"{text}: settings read KEY=VALUE, and {name} has {has}")
        settings[key] = _read(known[key], value)
    try:
        return PARTS[name](**settings)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _parted(text: str) -> list[str]:
    """The pieces of a text between commas that stand in no brackets."""
    pieces, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece.strip() for piece in pieces if piece.strip()]


def _read(setting: inspect.Parameter, text: str):
    """The value of a setting from its text."""
    if isinstance(setting.default, str):
        return text
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if setting.name in ("guidance", "weight", "leaf"):
        return guidance_of(text)
    if setting.name == "reference":
        from o1lib.model.policy import Policy

        return guidance.Likelihoods(Policy.load(text))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    if text.split("(")[0] in PARTS:
        return _part(text)
    raise ValueError(
        f"{setting.name}={text}: expected a number, true, false, none, or one of {', '.join(PARTS)}"
    )


def reads_steps(strategy: Part) -> bool:
    """Whether a strategy walks through the task's own steps, and so asks for `solve`."""
    walks = strategy.settings.get("expand")
    if strategy.name in ("depth_first", "random_steps") or (
        strategy.name == "beam" and walks is None
    ):
        return True
    return walks is not None and walks.name != "sampled_steps"
