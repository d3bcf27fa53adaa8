"""What a model knows, asked without instructions: held-out items of every part of the corpus, each
with its known answer.

Used in notebook 01, section 2 (paper, section 3.1).
"""

from __future__ import annotations

import random
import re

import torch

from o1lib.model.policy import Policy
from o1lib.policy import language
from o1lib.policy.corpus import encode, grammar
from o1lib.policy.traces import values, words
from o1lib.tasks.base import HELD_OUT_TARGETS, VAL_TARGETS


@torch.inference_mode()
def choose(policy: Policy, items: list[tuple[str, list[str]]]) -> list[int]:
    """For each (beginning, options), the index of the option whose first token the model finds most
    probable.
    """
    tokenizer, found = policy.tokenizer, []
    for beginning, options in items:
        ids = [tokenizer.bos_token_id, *tokenizer.encode(beginning, add_special_tokens=False)]
        firsts = [tokenizer.encode(option, add_special_tokens=False)[0] for option in options]
        logits = policy.model(torch.tensor([ids])).logits[0, -1]
        found.append(int(logits[firsts].argmax()))
    return found


def perplexity(policy: Policy, n: int = 40) -> float:
    """Perplexity per token of held-out sentences."""
    losses, count = 0.0, 0
    for i in range(n):
        ids, _ = encode(policy.tokenizer, grammar(random.Random(f"probe {i}")))
        with torch.inference_mode():
            logits = policy.model(torch.tensor([ids])).logits[0, :-1]
        losses -= float(logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None]).sum())
        count += len(ids) - 1
    return float(torch.tensor(losses / count).exp())


def agreement_items(rng: random.Random, n: int):
    """`the big cats near the dog` -> sing / sings: the verb agrees with the first noun, not with
    the nearest.
    """
    for _ in range(n):
        noun, other = rng.sample(language.ANIMALS, 2)
        plural = rng.random() < 0.5
        near = other if plural else language.PLURAL[other]
        subject = f"the {rng.choice(language.ADJECTIVES)} {language.PLURAL[noun] if plural else noun} near the {near}"
        singular = rng.choice(list(language.VERBS))
        yield subject, [singular, language.VERBS[singular]], int(plural)


def fact_items(rng: random.Random, n: int):
    """`what eats anna ?` -> one of five things."""
    for _ in range(n):
        name, relation = rng.choice(language.NAMES), rng.choice(list(language.FACTS))
        question = f"what eats {name} ?" if relation == "eats" else f"where lives {name} ?"
        options = language.FACTS[relation]
        yield question, options, options.index(language.fact(name, relation))


def comparison_items(rng: random.Random, n: int):
    for _ in range(n):
        x, y = rng.sample(range(1, 100), 2)
        word = rng.choice(("more", "less"))
        yield f"{x} is {word} than {y} ?", ["true", "false"], int((x > y) != (word == "more"))


def syllogism_items(rng: random.Random, n: int):
    for _ in range(n):
        animal, name = rng.choice(language.ANIMALS), rng.choice(language.NAMES)
        adjective, other = rng.sample(language.ADJECTIVES, 2)
        asked = adjective if rng.random() < 0.5 else other
        text = f"all {language.PLURAL[animal]} are {adjective} . {name} is a {animal} . therefore {name} is {asked} ?"
        yield text, ["true", "false"], int(asked != adjective)


def equality_items(rng: random.Random, n: int, goals: tuple[int, ...]):
    """After a value that is wanted: `yes` or one more value; after a list without one: `no` or
    `yes`.
    """
    count = 0
    while count < n:
        goal, kept, x, y = (
            rng.choice(goals),
            rng.randint(1, 13),
            rng.randint(1, 30),
            rng.randint(1, 13),
        )
        wanted, found = values(goal, kept), values(x, y)
        hits = [i for i, v in enumerate(found) if v in wanted]
        if bool(hits) != (count % 2 == 0):
            continue
        shown = found[: hits[0] + 1] if hits else found
        count += 1
        yield (
            f"for {goal} keep {kept} want {words(wanted)} : {x} {y} get {words(shown)}",
            ["no", "yes"],
            int(bool(hits)),
        )


def list_accuracy(policy: Policy, n: int = 200, seed: int = 0) -> float:
    """`x y get` -> the whole list, written greedily and compared with the truth."""
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
        right += written == values(x, y)
    return right / n


def probe(policy: Policy, n: int = 200, seed: int = 0) -> dict[str, float]:
    """Accuracy on held-out items of every kind (chance in brackets in notebook 01), in the order of
    the corpus parts.
    """
    rng = random.Random(f"probe {seed}")
    trained = tuple(g for g in range(1, 101) if g not in HELD_OUT_TARGETS)
    kinds = {
        "agreement": agreement_items(rng, n),
        "facts": fact_items(rng, n),
        "comparison": comparison_items(rng, n),
        "syllogism": syllogism_items(rng, n),
        "equality test, trained goals": equality_items(rng, n, trained),
        "equality test, held-out goals": equality_items(rng, n, VAL_TARGETS),
    }
    results = {}
    for name, items in kinds.items():
        items = list(items)
        chosen = choose(policy, [(text, options) for text, options, _ in items])
        results[name] = sum(c == right for c, (_, _, right) in zip(chosen, items, strict=True)) / n
    results["lists of values"] = list_accuracy(policy, n, seed)
    return results
