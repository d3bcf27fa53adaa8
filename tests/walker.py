"""A policy for tests that writes random legal chains and counts what it writes and reads: searches
over whole responses, steps and tokens all get somewhere, without a network.
"""

import random
from functools import cache

from o1lib.model.policy import Response
from o1lib.model.tokenizer import build_tokenizer
from o1lib.tasks.space import Space

tokenizer = build_tokenizer()


@cache
def encode(text):
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def spelled(prefix):
    return encode(prefix) if isinstance(prefix, str) else tuple(prefix)


def distinct(rows):
    """Tokens of rows when what they begin with in common counts once, counted one by one."""
    return len({row[:k] for row in rows for k in range(1, len(row) + 1)})


class Walker:
    """What it writes is decided by the request and its seed alone."""

    bf16 = False
    tokenizer = tokenizer

    def __init__(self, task, problems, most_steps=7):
        self.task, self.most_steps = task, most_steps
        self.spaces = {str(problem): Space(task, problem) for problem in problems}
        self.states = {}  # by the text in which a prompt names them
        waiting = list(problems)
        while waiting and len(self.states) < 3000:
            state = waiting.pop()
            if str(state) not in self.states:
                self.states[str(state)] = state
                waiting += [task.apply(state, step) for step in task.legal_steps(state)]
        self.generated = self.scored = 0
        self.prompts = []

    def sample_each(self, requests, seeds):
        groups = []
        for request, seed in zip(requests, seeds, strict=True):
            self.prompts.append(request.prompt)
            rng = random.Random(f"{request.prompt} {spelled(request.prefix)} {seed}")
            if request.temperature == 0:
                rng = random.Random(f"{request.prompt} {spelled(request.prefix)}")
            groups.append([self.response(request, rng) for _ in range(request.n)])
        self.generated += sum(len(r.token_ids) for group in groups for r in group)
        return groups

    def response(self, request, rng):
        before = spelled(request.prefix)
        ids = self.written(request.prompt, before, rng)[: request.max_new_tokens]
        stops = {encode(word)[0] for word in request.stop} | {tokenizer.eos_token_id}
        end = next((i + 1 for i, token in enumerate(ids) if token in stops), None)
        ids = ids[:end]
        whole = [token for token in (*before, *ids) if token != tokenizer.eos_token_id]
        text = tokenizer.decode(whole, clean_up_tokenization_spaces=False)
        return Response(text, list(ids), [-rng.random() for _ in ids], end is not None, before)

    def written(self, prompt, before, rng):
        """The new tokens, up to the end."""
        instruction, said = prompt.split(" : ", 1)
        if instruction == "judge":
            return (
                *encode(f"<answer> {rng.choice(('alive', 'dead'))} </answer>"),
                tokenizer.eos_token_id,
            )
        if said.startswith("compute ") and said not in self.states:  # what an answer gives
            return (*encode(f"<answer> {rng.randint(1, 30)} </answer>"), tokenizer.eos_token_id)
        if instruction == "propose":
            steps = self.task.legal_steps(self.states[said])
            listed = rng.sample(steps, min(3, len(steps)))
            text = " ; ".join(["nonsense", *(step.text for step in listed)])
            return (*encode(f"<answer> {text} </answer>"), tokenizer.eos_token_id)
        space = self.spaces[said.split(" ; ")[0]]
        node, done = space.root, ()
        while not space.complete(node) and node.depth < self.most_steps:
            going = [
                (child, ids)
                for step in space.steps(node)
                for child in [space.child(node, step)]
                for ids in [encode(child.prefix)]
                if ids[: len(before)] == before[: len(ids)]
            ]
            if not going:
                break
            node, done = rng.choice(going)
        done = encode(space.response(node))
        if done[: len(before)] != before:  # it was led astray
            done = (*before, *encode(f"<answer> {rng.randint(1, 9)} </answer>"))
        return (*done[len(before) :], tokenizer.eos_token_id)

    def logprobs_each(self, requests):
        replies = []
        for request in requests:
            before = spelled(request.prefix)
            texts = [spelled(text) for text in request.texts]
            self.scored += len(before) + sum(map(len, texts))
            replies.append(
                [-random.Random(f"{request.prompt} {before} {t}").random() * len(t) for t in texts]
            )
        return replies


class Reader:
    """A scorer that gives every token a number of its own, and counts what it reads."""

    tokenizer = tokenizer

    def __init__(self):
        self.scored = 0

    def score_groups(self, groups):
        replies = []
        for prompt, responses in groups:
            rows = [spelled(response) for response in responses]
            self.scored += distinct(rows)
            replies.append(
                [[self.number(prompt, row[:k]) for k in range(1, len(row) + 1)] for row in rows]
            )
        return replies

    def score(self, prompts, responses):
        return [
            self.score_groups([(p, [r])])[0][0] for p, r in zip(prompts, responses, strict=True)
        ]

    def number(self, prompt, row):
        return random.Random(f"{prompt} {row}").random()
