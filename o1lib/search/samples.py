"""What many samples say together: how often one of k is right, how often their vote is, and how
often a step of theirs is legal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from o1lib.lab.statistics import doublings, pass_rates
from o1lib.search.nodes import answer_of
from o1lib.tasks.space import Space, step_texts


def voted(texts: Sequence[str], right: Sequence[bool]) -> dict[str, float]:
    """How often the vote of k responses is right, for k = 1, 2, 4, ...: the mean over the blocks
    of k that follow one another.

    As in `by_vote` (o1lib.search.choose), what has no answer does not vote, and ties go to the
    earlier.
    """
    found, answers = {}, [answer_of(text) for text in texts]
    for k in doublings(len(texts)):
        wins = []
        for start in range(0, len(texts) - k + 1, k):
            votes = Counter(a for a in answers[start : start + k] if a is not None)
            chosen = max(votes, key=votes.get, default=None)
            wins.append(chosen is not None and right[answers.index(chosen, start)])
        found[str(k)] = sum(wins) / len(wins)
    return found


def step_counts(space: Space, texts: Sequence[str]) -> dict[str, int]:
    """`steps_legal`: the steps of straight chains up to the first that is not legal; `steps_wrong`:
    how many chains have such a step. Nothing where the task has no steps or they were not asked
    for.
    """
    if space.instruction != "solve" or space.root.state is None:
        return {}
    legal = [len(space.read(text)) - 1 for text in texts]
    wrong = sum(len(step_texts(t)) > steps for t, steps in zip(texts, legal, strict=True))
    return {"steps_legal": sum(legal), "steps_wrong": wrong}


def rates(results: Sequence[dict]) -> dict:
    """pass@k and the success of a vote of k over all results of `sample`, and the share of their
    steps that are legal where these were counted (a step after an illegal one does not count).
    """
    found = {}
    if results and all("voted" in r for r in results):
        passed = pass_rates([(r["samples"], r["samples_correct"]) for r in results])
        found["pass"] = {str(k): rate for k, rate in passed.items()}
        found["majority"] = {
            k: sum(r["voted"][k] for r in results) / len(results) for k in found["pass"]
        }
    if results and all("steps_legal" in r for r in results):
        legal, wrong = (sum(r[name] for r in results) for name in ("steps_legal", "steps_wrong"))
        found["legal_steps"] = legal / (legal + wrong) if legal + wrong else 0.0
    return found
