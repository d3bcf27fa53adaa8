"""Probes: every item is unread (by an independent reading of the corpus), and its answer is
true.
"""

import re

import pytest

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import language, probes
from o1lib.policy.corpus import Mixture, base_parts
from o1lib.policy.lists import results_of
from o1lib.recipes.checkpoints import RECIPES
from o1lib.recipes.stages import Supervised
from o1lib.tasks.base import VAL_TARGETS

ITEMS = probes.probe_items(120)


def test_no_item_stands_in_the_training_text():
    """FINDINGS 1.15: against the very documents that the mixture of the shipped bases draws,
    whatever its order.
    """
    tokenizer = build_tokenizer()
    mixture = Mixture(base_parts(), tokenizer, 0)
    drawn = " ".join(tokenizer.decode(ids[1:-1]) for ids, _ in mixture.batch(60_000))
    assert drawn.count("therefore") > 10
    for name, items in ITEMS.items():
        assert len(items) == 16 if name.startswith("facts") else 40 <= len(items) <= 120
        assert len({str(item) for item in items}) == len(items)
        if not name.startswith("facts"):
            assert sum(answer for _, _, answer in items) * 2 == len(items)
        for text, options, answer in items:
            if name != "facts, as in training":
                assert f"{text} {options[answer]}" not in drawn
                assert f"{text} {options[answer]}" not in probes.training_text()
    # The part of the text that the mixture had drawn by then is all there.
    for sentence in re.findall(r"all \w+ are \w+ \. [^?]*\? \w+", drawn):
        assert sentence in probes.training_text()


def test_the_text_covers_every_shipped_base():
    bases = [
        recipe
        for recipe in RECIPES.values()
        if isinstance(recipe, Supervised) and recipe.parts is base_parts
    ]
    assert bases
    assert max(recipe.config.tokens for recipe in bases) <= probes.TRAINED_TOKENS
    assert {recipe.seed for recipe in bases} == {0}


def test_answers_are_true():
    for text, options, answer in ITEMS["comparison"]:
        x, word, y = re.match(r"(\d+) is (more|less) than (\d+) \?", text).groups()
        truth = int(x) > int(y) if word == "more" else int(x) < int(y)
        assert options[answer] == ("true" if truth else "false")
    for text, options, answer in ITEMS["syllogism"]:
        adjective, asked = re.search(r"are (\w+) \..* is (\w+) \?", text).groups()
        assert options[answer] == ("true" if adjective == asked else "false")
    for name in ("equality test, trained goals", "equality test, held-out goals"):
        for text, options, answer in ITEMS[name]:
            goal, kept, x, y = map(
                int, re.match(r"want (\d+) (\d+) get .* : (\d+) (\d+) get", text).groups()
            )
            hit = set(results_of(goal, kept)) & set(results_of(x, y))
            assert options[answer] == ("yes" if hit else "no")
            assert (goal in VAL_TARGETS) == name.endswith("held-out goals")
    for text, options, answer in ITEMS["facts, asked anew"]:
        name, relation = text.split()[0], "eats" if " eats " in text else "lives in"
        assert options[answer] == language.fact(name, relation)


def test_a_model_that_knows_beats_chance():
    policy = Policy.load("nano-base", bf16=False)
    found = probes.probe(policy, 30)
    assert found["facts, as in training"] > 0.8
    assert found["facts, asked anew"] > 0.3  # chance is 0.2
    assert found["equality test, trained goals"] > 0.65  # chance is 0.5
    assert 0 <= found["lists of values"] <= 1
    assert 1 < probes.perplexity(policy, 5) < 20
    assert probes.pick_option(policy, [("x", ["true", "false"])]) in ([0], [1])


@pytest.mark.parametrize("seed", [1])
def test_seeds_draw_other_items(seed):
    other = probes.probe_items(20, seed)
    assert not set(map(str, other["comparison"])) <= set(map(str, ITEMS["comparison"]))
    assert other["facts, asked anew"] == ITEMS["facts, asked anew"]
