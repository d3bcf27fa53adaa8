"""Exercises of 01: their truths agree with the library, and the bug shows where the text says."""

import json
import random

import pytest

from o1lib.exercises import policy_initialization as check
from o1lib.exercises.check import CheckFailed
from o1lib.exercises.generate import SOLUTIONS
from o1lib.exercises.moments import chains, documents
from o1lib.lab.statistics import pass_at_k
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import corpus, traces
from o1lib.policy.behaviors import persistence
from o1lib.policy.documents import Document
from o1lib.tasks import Countdown

CELLS = json.loads((SOLUTIONS / "01_policy_initialization.ipynb").read_text(encoding="utf-8"))[
    "cells"
]


@pytest.fixture(scope="module")
def names() -> dict:
    """What the solution notebook defines, without its picture."""
    found: dict = {}
    for cell in CELLS:
        if cell["cell_type"] == "code" and cell["id"] != "writers-picture":
            exec("".join(cell["source"]), found)
    return found


def test_every_exercise_says_why_and_has_three_hints():
    texts = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown"]
    numbered = [text for text in texts if text.startswith("## ") and text[3].isdigit()]
    assert len(numbered) == 6
    assert all("**Why it matters:**" in text for text in numbered)
    hinted = [text for text in texts if "Hint 1" in text]
    assert [text.count("<summary>Hint") for text in hinted] == [3] * len(check.EXERCISES)


@pytest.mark.parametrize("exercise", check.EXERCISES, ids=lambda e: e.name)
def test_every_mistake_has_words_of_its_own(exercise):
    assert len({mistake.name for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len({mistake.sentence for mistake in exercise.mistakes}) == len(exercise.mistakes)


def test_lists_are_those_of_the_chains(names):
    for x in range(1, 80):
        for y in (*range(1, 80), 333, 999):
            truth = traces.results_of(x, y)
            assert check.results_of.truth(x, y) == names["results_of"](x, y) == truth


def test_the_equality_test_is_that_of_the_chains(names):
    rng = random.Random(0)
    for _ in range(500):
        wanted, made = (rng.sample(range(1, 9), rng.randrange(5)) for _ in range(2))
        shown, hit = traces.first_hit(made, wanted)
        truth = [*shown, "no" if hit is None else "yes"]
        assert check.equality_test.truth(wanted, made) == truth
        assert names["equality_test"](wanted, made) == truth


def test_the_mask_is_that_of_the_training(names):
    tokenizer = build_tokenizer()
    part = corpus.think_part(4, traces.Style(slip=0.2))
    slips = 0
    for seed in range(20):
        document = part(random.Random(seed))
        for shown in (document, Document(None, document.pieces)):
            _, mask = corpus.encode(tokenizer, shown)
            prompt = ["<bos>"]
            if shown.prompt is not None:
                prompt += ["<user>", *tokenizer.tokenize(shown.prompt), "<assistant>"]
            pieces = [(tokenizer.tokenize(text), counts) for text, counts in shown.pieces]
            slips += sum(not counts for _, counts in pieces)
            truth = [int(counts) for counts in mask]
            assert check.loss_mask.truth(prompt, pieces) == truth
            assert names["loss_mask"](prompt, pieces) == truth
    assert slips > 20


def test_every_single_place_of_the_mask_is_checked():
    prompt, pieces = check.loss_mask.cases[0]
    for place, _ in enumerate(check.loss_mask.truth(prompt, pieces)):

        def flipped(prompt, pieces, place=place):
            mask = check.loss_mask.truth(prompt, pieces)
            mask[place] = 1 - mask[place]
            return mask

        with pytest.raises(CheckFailed, match="should give"):
            check.loss_mask(flipped)


@pytest.mark.parametrize("case", check.mixture.cases, ids=str)
def test_the_mixture_draws_what_the_corpus_draws(names, case):
    shares, lengths, n = case
    # A document is its words and two tokens more, `<bos>` and `<eos>`.
    words = [max(0, length - 2) for length in lengths]
    parts = {
        str(i): (share, lambda rng, count=count: Document(None, [("7 " * count, True)]))
        for i, (share, count) in enumerate(zip(shares, words, strict=True))
    }
    mixture, drawn = corpus.Mixture(parts, build_tokenizer()), []
    for _ in range(n):
        before = {name: dict(state) for name, state in mixture.state.items()}
        mixture.next()
        [name] = [name for name in parts if mixture.state[name] != before[name]]
        drawn.append(int(name))
    lengths = [count + 2 for count in words]
    assert check.mixture.truth(shares, lengths, n) == names["mixture"](shares, lengths, n) == drawn


def test_pass_at_k_is_that_of_the_library(names):
    for counts, n, k in check.mean_pass_at_k.cases:
        mean = sum(pass_at_k(n, c, k) for c in counts) / len(counts)
        assert check.mean_pass_at_k.truth(counts, n, k) == pytest.approx(mean)
        assert names["mean_pass_at_k"](counts, n, k) == pytest.approx(mean)


def test_moments_agree_with_the_librarys_persistence(names):
    for give_up in (0.0, 0.5, 1.0):
        texts = chains(60, give_up)
        counted = [check.moments.truth(text) for text in texts]
        assert counted == [names["moments"](text) for text in texts]
        went_on, gave_up = map(sum, zip(*counted, strict=True))
        assert went_on + gave_up > 10
        assert went_on / (went_on + gave_up) == pytest.approx(persistence(texts))


def test_moments_find_the_chains_that_end_wrong():
    """A chain of the writer who gives up misses its goal exactly if it gave up."""
    task, gave_up = Countdown(3), 0
    for seed in range(100):
        rng = random.Random(seed)
        problem = task.train_problem(rng.getrandbits(48))
        pieces = traces.think(problem, rng, traces.Style(slip=0.0, give_up=0.5))
        if pieces is not None:
            text = " ".join(text for text, _ in pieces)
            _, found = check.moments.truth(text)
            assert found == (not task.verify(problem, text).correct)
            gave_up += found
    assert gave_up > 10


def test_only_the_mended_detector_is_blind_to_what_is_planted(names):
    """The writer never gives up: what a detector finds there was planted or stood in the prompt."""
    clean = [check.mended_moments.truth(*document) for document in documents(60)]
    assert sum(gave_up for _, gave_up in clean) == 0
    for example in (False, True):
        planted = documents(60, 0.5, example)
        assert [names["mended_moments"](*document) for document in planted] == clean
        assert sum(names["suspect_moments"](*document)[1] for document in planted) > 5
        assert [names["suspect_moments"](*d) for d in documents(60, 0.0, example)] == clean
    everything = [names["moments"](" ".join(words)) for words, _ in documents(60, 0.0, True)]
    assert all(gave_up == 1 for _, gave_up in everything)
