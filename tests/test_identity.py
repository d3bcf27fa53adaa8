"""What decides a run: the same for the same thing, another for another, in any process."""

import functools
import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from o1lib.lab.identity import describe, differences, weights_hash
from o1lib.learning.advantages import gae
from o1lib.learning.collect import rollouts, training_problems
from o1lib.learning.losses import ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import fit
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Mixture, base_parts, think_parts
from o1lib.reward.outcome import checker_reward
from o1lib.tasks import Countdown

BONUS = 1.0


def plus_bonus(x):
    return x + BONUS


def of_source(source):
    """The function `f` of some source text."""
    namespace: dict = {"__name__": "somewhere"}
    exec(source, namespace)
    return namespace["f"]


def test_comments_layout_and_docstrings_do_not_count():
    one = of_source("def f(x):\n    return x + 1\n")
    same = of_source("# what it does\n\ndef f(\n    x\n):\n    # add\n    return x + 1\n")
    assert describe(one) == describe(same)
    spoken = of_source('def f(x):\n    """Add."""\n    return x + 1\n')
    retold = of_source('def f(x):\n    """Add one to x."""\n    return x + 1\n')
    assert describe(spoken) == describe(retold)
    for other in ("def f(x):\n    return x + 2\n", "def f(y, x=3):\n    return x + 1\n"):
        assert describe(one) != describe(of_source(other))


def test_values_that_a_function_holds_count(monkeypatch):
    adders = [lambda x, by=by: x + by for by in (1, 2)]
    assert describe(adders[0]) != describe(adders[1])

    def closed(by):
        return lambda x: x + by

    assert describe(closed(1)) == describe(closed(1)) != describe(closed(2))
    assert describe(functools.partial(pow, 2)) != describe(functools.partial(pow, 3))
    before = describe(plus_bonus)
    monkeypatch.setattr(sys.modules[__name__], "BONUS", 2.0)
    assert describe(plus_bonus) != before
    assert differences(before, describe(plus_bonus)) == ["BONUS"]


def test_parts_of_runs():
    tokenizer = build_tokenizer()
    task = Countdown(3)
    different = [
        ppo(),
        ppo((0.2, 0.2)),
        gae(),
        gae(0.9),
        Schedule(3, 1e-3),
        Schedule(3, 1e-4),
        fit(ppo()),
        fit(ppo(), minibatches=2),
        rollouts(task, checker_reward(task), training_problems(task, 2)),
        rollouts(Countdown(4), checker_reward(task), training_problems(task, 2)),
        Mixture(base_parts(), tokenizer),
        Mixture(think_parts(3), tokenizer),
        Mixture(think_parts(4), tokenizer),
        Mixture(base_parts(), tokenizer, seed=1),
        Mixture(base_parts(), build_tokenizer(digits=True)),
        Policy(build_model("nano"), tokenizer, bf16=False),
        Policy(build_model("nano"), tokenizer, bf16=True),
        Policy(build_model("nano", seed=1), tokenizer, bf16=False),
        [1.0] * 10_000,
        [1.0] * 9_999 + [2.0],
        float("nan"),
        {1, 2},
        torch.ones(3),
    ]
    shown = [json.dumps(describe(x)) for x in different]
    assert len(set(shown)) == len(shown)
    assert all(len(text) < 20_000 for text in shown)


def test_weights_hash_sees_one_bit():
    model = build_model("nano")
    before = weights_hash(model)
    assert before == weights_hash(build_model("nano"))
    with torch.no_grad():
        model.lm_head.weight[5, 7] += 1e-7
    assert weights_hash(model) != before


def test_another_process_says_the_same():
    code = (
        "import json; from o1lib.lab.identity import describe; from o1lib.tasks import Countdown\n"
        "from o1lib.learning.updates import fit; from o1lib.learning.losses import ppo\n"
        "from o1lib.model.network import build_model\n"
        "print(json.dumps(describe([fit(ppo()), {'b', 'a', 'c'}, Countdown(3), build_model()])))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = describe([fit(ppo()), {"b", "a", "c"}, Countdown(3), build_model()])
    assert json.loads(found.stdout.splitlines()[-1]) == here


def test_what_says_nothing_of_itself_is_refused():
    class Nameless:
        pass

    @dataclass(frozen=True)
    class Named:
        value: int

    with pytest.raises(ValueError, match=r"cannot be identified by.*Nameless"):
        describe({"reward": Nameless()})
    assert describe(Named(1)) != describe(Named(2))
    loop: list = []
    loop.append(loop)
    assert describe(loop) == ["itself"]
