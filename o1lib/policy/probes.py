"""What a model knows, asked without instructions: items of every part of the corpus, each with its
known answer, that the shipped models have never read.

The corpus is generated, so what was read can be generated again: an item is used only when it does
not stand, with its answer, in the language and the tests that the shipped base models were trained
on (`training_text`). A fact must have been read to be known; it is asked in words that never occur
(`facts, asked anew`) and, for comparison, in those of the corpus (`facts, as in training`).

Used in notebook 01, section 2 (paper, section 3.1).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import torch

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import language
from o1lib.policy.corpus import base_parts, encode
from o1lib.policy.documents import Document
from o1lib.policy.lists import results_of, words
from o1lib.tasks.base import HELD_OUT_TARGETS, VAL_TARGETS

TRAINED_TOKENS = 1_000_000  # of the longest base recipe; a test holds it against the registry
Item = tuple[str, list[str], int]  # a beginning, options to go on, and which is right


@lru_cache
def training_text(tokens: int = TRAINED_TOKENS, seed: int = 0) -> str:
    """What a base model of so many tokens has read of the parts that are probed (and a little
    more).
    """
    parts, texts = base_parts(), []
    shares = sum(share for share, _ in parts.values())
    for name in ("grammar", "facts", "logic", "tests"):
        share, part = parts[name]
        read, index = 0, 0
        while read < 1.02 * tokens * share / shares:
            document = part(random.Random(f"{seed} {name} {index}"))
            texts.append(document.text)
            read += len(encode(build_tokenizer(), document)[0])
            index += 1
    return " | ".join(texts)


def unread(items: Iterator[Item], n: int) -> list[Item]:
    """At most `n` different items that no shipped model has read with their answer, as many of each
    answer: what was read is mostly true, so what is left would mostly be false.
    """
    read, found = training_text(), {}
    for item in islice(items, 100 * n):
        text, options, answer = item
        some = found.setdefault(answer, [])
        wanted = len(some) < -(-n // len(options)) and item not in some
        if wanted and f"{text} {options[answer]}" not in read:
            some.append(item)
    each = min(map(len, found.values()))
    return [item for some in found.values() for item in some[:each]]


@torch.inference_mode()
def pick_option(policy: Policy, items: list[tuple[str, list[str]]]) -> list[int]:
    """For each (beginning, options), the index of the option whose first token the model finds most
    probable.
    """
    tokenizer, found = policy.tokenizer, []
    for beginning, options in items:
        ids = [tokenizer.bos_token_id, *tokenizer.encode(beginning, add_special_tokens=False)]
        firsts = [tokenizer.encode(option, add_special_tokens=False)[0] for option in options]
        logits = policy.model(_batch(policy, ids)).logits[0, -1]
        found.append(int(logits[firsts].argmax()))
    return found


def _batch(policy: Policy, ids: list[int]) -> torch.Tensor:
    """One row of token ids, where the model is."""
    return torch.tensor([ids], device=next(policy.model.parameters()).device)


@torch.inference_mode()
def perplexity(policy: Policy, n: int = 40) -> float:
    """Perplexity per token of `n` documents of eight sentences that were never read."""
    loss, count, rng = 0.0, 0, random.Random("probe")
    for _ in range(n):
        ids, _ = encode(policy.tokenizer, Document(None, [(_unread_sentences(rng, 8), True)]))
        logits = policy.model(_batch(policy, ids)).logits[0, :-1].float().cpu()
        targets = torch.tensor(ids[1:])[:, None]
        loss -= float(logits.log_softmax(-1).gather(-1, targets).sum())
        count += len(ids) - 1
    return float(torch.tensor(loss / count).exp())


def _unread_sentences(rng: random.Random, n: int) -> str:
    found: list[str] = []
    while len(found) < n:
        sentence = language.sentence(rng)
        if sentence not in training_text():
            found.append(sentence)
    return " ".join(found)


def agreement_items(rng: random.Random) -> Iterator[Item]:
    """`the big cats near the dog` -> sing / sings: the verb agrees with the first noun, not with
    the nearest.
    """
    while True:
        noun, other = rng.sample(language.ANIMALS, 2)
        plural = rng.random() < 0.5
        near = other if plural else language.PLURAL[other]
        first = language.PLURAL[noun] if plural else noun
        subject = f"the {rng.choice(language.ADJECTIVES)} {first} near the {near}"
        singular = rng.choice(list(language.VERBS))
        yield subject, [singular, language.VERBS[singular]], int(plural)


def fact_items(anew: bool = True) -> Iterator[Item]:
    """Every fact once: `anna eats what ?` (words that the corpus does not use) or `what eats anna
    ?` -> one of five things.
    """
    for name in language.NAMES:
        for relation, options in language.FACTS.items():
            if relation == "eats":
                question = f"{name} eats what ?" if anew else f"what eats {name} ?"
            else:
                question = f"{name} lives where ?" if anew else f"where lives {name} ?"
            yield question, options, options.index(language.fact(name, relation))


def comparison_items(rng: random.Random) -> Iterator[Item]:
    """`7 is more than 5 ?` -> true / false."""
    while True:
        x, y = rng.sample(range(1, 100), 2)
        word = rng.choice(("more", "less"))
        yield f"{x} is {word} than {y} ?", ["true", "false"], int((x > y) != (word == "more"))


def syllogism_items(rng: random.Random) -> Iterator[Item]:
    """`all cats are big . anna is a cat . therefore anna is old ?` -> true / false."""
    while True:
        animal, name = rng.choice(language.ANIMALS), rng.choice(language.NAMES)
        adjective, other = rng.sample(language.ADJECTIVES, 2)
        asked = adjective if rng.random() < 0.5 else other
        premises = f"all {language.PLURAL[animal]} are {adjective} . {name} is a {animal} ."
        text = f"{premises} therefore {name} is {asked} ?"
        yield text, ["true", "false"], int(asked != adjective)


def equality_items(rng: random.Random, goals: tuple[int, ...]) -> Iterator[Item]:
    """After a value that is wanted: `yes` or one more value; after a list without one: `no` or
    `yes`. Hits and misses in turn.
    """
    hit = True
    while True:
        goal, kept = rng.choice(goals), rng.randint(1, 13)
        x, y = rng.randint(1, 30), rng.randint(1, 13)
        wanted, found = results_of(goal, kept), results_of(x, y)
        hits = [i for i, v in enumerate(found) if v in wanted]
        if bool(hits) != hit:
            continue
        hit = not hit
        shown = found[: hits[0] + 1] if hits else found
        yield (
            f"want {goal} {kept} get {words(wanted)} : {x} {y} get {words(shown)}",
            ["no", "yes"],
            int(bool(hits)),
        )


def list_accuracy(policy: Policy, n: int = 200, seed: int = 0) -> float:
    """`x y get` -> the whole list, written greedily and compared with the truth. (Most pairs of
    this size have been drilled: this asks whether the lists are known, not whether they are worked
    out.)
    """
    rng = random.Random(f"lists {seed}")
    pairs = [(rng.randint(1, 100), rng.randint(1, 13)) for _ in range(n)]
    tokenizer = policy.tokenizer
    ids = [
        [tokenizer.bos_token_id, *tokenizer.encode(f"{x} {y} get", add_special_tokens=False)]
        for x, y in pairs
    ]
    ends = tuple(tokenizer.convert_tokens_to_ids(["▁no", "▁yes", "<eos>"]))
    groups = policy.sampler.sample(ids, temperature=0.0, max_new_tokens=14, stop=ends)
    right = 0
    for (x, y), group in zip(pairs, groups, strict=True):
        written = [
            int(v) for v in re.findall("[0-9]+", tokenizer.decode(group[0].token_ids)) if len(v) < 9
        ]
        right += written == results_of(x, y)
    return right / n


def probe_items(n: int = 200, seed: int = 0) -> dict[str, list[Item]]:
    """The items of every kind that is answered by one word, in the order of the corpus parts."""
    rng = random.Random(f"probe {seed}")
    trained = tuple(g for g in range(1, 101) if g not in HELD_OUT_TARGETS)
    return {
        "agreement": unread(agreement_items(rng), n),
        "facts, as in training": list(fact_items(anew=False)),
        "facts, asked anew": list(fact_items()),
        "comparison": unread(comparison_items(rng), n),
        "syllogism": unread(syllogism_items(rng), n),
        "equality test, trained goals": unread(equality_items(rng, trained), n),
        "equality test, held-out goals": unread(equality_items(rng, VAL_TARGETS), n),
    }


def probe(policy: Policy, n: int = 200, seed: int = 0) -> dict[str, float]:
    """Accuracy on unread items of every kind (chance in brackets in notebook 01; there are only 16
    facts).
    """
    results = {}
    for name, items in probe_items(n, seed).items():
        chosen = pick_option(policy, [(text, options) for text, options, _ in items])
        right = sum(c == answer for c, (_, _, answer) in zip(chosen, items, strict=True))
        results[name] = right / len(items)
    results["lists of values"] = list_accuracy(policy, n, seed)
    return results
