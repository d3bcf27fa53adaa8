"""Long chains about jugs: that they are true, and that the checker counts what is not."""

import random

import pytest

from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import encode
from o1lib.policy.jug_traces import JugCheck, check_chain, think, think_part
from o1lib.recipes.transfer import transfer_arm
from o1lib.tasks.jugs import Jugs


@pytest.mark.parametrize("n_jugs", [2, 3])
def test_chains_are_true_and_never_try_the_same_twice(n_jugs):
    task = Jugs(n_jugs)
    written = 0
    for index in range(60):
        problem = task.train_problem(index)
        pieces = think(problem, random.Random(index))
        if pieces is None:
            continue
        written += 1
        text = " ".join(text for text, _ in pieces)
        assert task.verify(problem, text).correct
        check = check_chain(problem, text)
        assert check.tries == check.right_tries == check.verdicts == check.right_verdicts > 0
        assert check.failed == check.went_on == check.tries - 1
        tries = [line.split(" left ")[0] for line in text.split("from ")[1:]]
        assert len(tries) == len(set(tries))
    assert written > 20


def test_what_is_not_true_is_counted():
    problem = Jugs().problem([3, 5], 4)
    text = (
        "use 3 5 for 4 from 0 0 try fill a left 3 0 no "  # right
        "from 3 0 try empty a left 0 0 no "  # met before: dead
        "from 3 0 try pour a to b left 0 2 dead "  # leaves 0 3
        "from 3 0 try fill c left 3 0 dead "  # there is no jug c; the state was met
        "from 3 5 try pour b to a left 4 4 yes"  # leaves nothing to pour
    )
    assert check_chain(problem, text) == JugCheck(5, 2, 5, 3, 4, 4)


@pytest.mark.parametrize(
    "text", ["", "from", "from 9 9 9 try fill a left 1 no", "from 0 0 try " * 9]
)
def test_nonsense_is_no_error(text):
    assert check_chain(Jugs().problem([3, 5], 4), text).right_tries == 0


def test_documents_are_in_the_vocabulary():
    tokenizer, part = build_tokenizer(), think_part()
    for index in range(20):
        ids, _ = encode(tokenizer, part(random.Random(index)))
        assert tokenizer.unk_token_id not in ids
        assert len(ids) < 450


def test_the_arm_measures_before_and_after(tmp_path):
    policy = Policy(build_model("pico").eval(), build_tokenizer())
    rows = list(
        transfer_arm(0, tmp_path, "no chains of numbers", tokens=1500, problems=2, policy=policy)
    )
    looked = [row["step"] for row in rows if row["metric"] == "success, jugs"]
    assert looked[0] == 0
    assert len(looked) == 2
    assert {row["tokens"] for row in rows if row["step"] == 0} == {0}
