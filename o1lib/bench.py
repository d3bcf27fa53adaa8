"""Speed, measured: `o1lib bench traces | rollouts | search | rl`. Ratios of things run in turn in
one process, never absolute claims.
"""

from __future__ import annotations

import random
import tempfile
import time
from statistics import median

import torch
from tqdm.auto import tqdm

from o1lib.lab import machine
from o1lib.learning.advantages import group_mean
from o1lib.learning.collect import rollouts
from o1lib.learning.loop import learn
from o1lib.learning.losses import ppo
from o1lib.learning.schedules import Schedule
from o1lib.learning.updates import Learner, fit
from o1lib.model.checkpoints import load
from o1lib.model.heads import ValueHead
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.sampler import LlamaSampler
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import traces
from o1lib.policy.corpus import encode, think_part
from o1lib.reward.outcome import checker_reward
from o1lib.search.driver import search_all
from o1lib.search.guidance import value
from o1lib.search.mcts import mcts
from o1lib.search.sampling import best_of_n
from o1lib.search.trees import beam
from o1lib.tasks.countdown import Countdown


def bench_traces(seconds: float = 5.0) -> float:
    """Print and return how many 4-number chains are written per second on one core, drawing the
    problem included.
    """
    write, rng, written, tokens = think_part(4), random.Random(0), 0, 0
    write(rng)  # the first call fills caches
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        document = write(rng)
        written += 1
    rate = written / (time.perf_counter() - begun)
    tokens = len(encode(build_tokenizer(), document)[0])
    print(
        f"traces: {rate:.0f} chains a second on one core "
        f"(4 numbers, grammar {traces.Style().grammar}; the last had {tokens} tokens)"
    )
    return rate


CHECKPOINT_OF = {"nano": "nano-think", "micro": "think"}


def bench_rollouts(
    size: str = "nano", n_prompts: int = 32, n: int = 8, repeats: int = 3, numbers: int = 4
) -> dict:
    """Our sampler against `generate`, in turn, on the same prompts: temperature 1, at most 512 new
    tokens, real lengths.

    Prints useful tokens (up to and with the end token) per second of both, their ratio, and the
    share of the roofline: the time of the matrix products alone, at the batch sizes that really
    occurred, plus one reading of the KV cache a step at the bandwidth measured by summing 256 MiB.
    `small` has no shipped checkpoint: it is measured with random weights, on chains of 256 tokens
    for both.
    """
    trained = size in CHECKPOINT_OF
    model, tokenizer = (
        load(CHECKPOINT_OF[size]) if trained else (build_model(size).eval(), build_tokenizer())
    )
    limit = 512 if trained else 256
    task = Countdown(numbers)
    prompts = [task.prompt(p) for p in task.problems("val_inputs", n_prompts)]
    policy = Policy(model, tokenizer)
    dtype = torch.bfloat16 if policy.bf16 else torch.float32
    reference = model.to(dtype) if dtype != torch.float32 else model
    policy.model = load(CHECKPOINT_OF[size])[0] if trained else build_model(size).eval()
    ours_rate, theirs_rate, lengths = [], [], []
    for repeat in tqdm(range(repeats + 1), desc=f"rollouts {size}", leave=False):
        begun = time.perf_counter()
        groups = policy.sample(prompts, n, max_new_tokens=limit, seed=repeat)
        ours = sum(len(s.token_ids) for g in groups for s in g) / (time.perf_counter() - begun)
        begun = time.perf_counter()
        useful = _generate(
            reference, tokenizer, [policy.encode(p) for p in prompts], n, limit, repeat
        )
        theirs = useful / (time.perf_counter() - begun)
        if repeat:  # the first pair warms up
            ours_rate.append(ours)
            theirs_rate.append(theirs)
            lengths = [len(s.token_ids) for g in groups for s in g]
    ratio = median(o / t for o, t in zip(ours_rate, theirs_rate, strict=True))
    roofline = _roofline(policy.sampler, lengths, len(policy.encode(prompts[0])))
    result = {
        "size": size,
        "ours": median(ours_rate),
        "generate": median(theirs_rate),
        "ratio": ratio,
        "roofline": roofline,
    }
    facts = machine.describe()
    ratios = [o / t for o, t in zip(ours_rate, theirs_rate, strict=True)]
    print(
        f"{size}: {n_prompts} prompts x {n} samples, at most {limit} new tokens "
        f"(mean {sum(lengths) / len(lengths):.0f}), {str(dtype).removeprefix('torch.')}, "
        f"{facts['threads']} threads, median of {repeats}\n"
        f"  ours {result['ours']:,.0f} useful tok/s, generate {result['generate']:,.0f}, "
        f"ratio: {ratio:.1f} ({min(ratios):.1f} to {max(ratios):.1f})\n"
        f"  roofline {roofline:,.0f} tok/s (matrix products + KV traffic); ours reaches "
        f"{result['ours'] / roofline:.0%} of it"
    )
    return result


def bench_search(checkpoint: str = "nano-think", problems: int = 64, repeats: int = 3) -> dict:
    """The batched driver against one request at a time (a call of the network for each node that is
    expanded or valued, as a loop without a driver makes) and against one problem at a time (which
    has the requests of a turn in one call): the same strategies, problems and results.

    Prints seconds and the ratios of each strategy, and returns the first. The value head is fresh:
    its speed does not depend on its weights.
    """
    policy = Policy.load(checkpoint)
    alone = _OneRequestACall(policy)
    numbers = 3 if checkpoint.startswith("nano") else 4
    task = Countdown(numbers)
    asked = task.problems("val_inputs", problems)
    fresh = ValueHead.from_policy(policy)
    head, head_alone = value(fresh), value(_OneRequestACall(fresh))
    strategies = {
        "best_of_n, think, 4 samples": (lambda _: best_of_n(4, max_new_tokens=256), "think"),
        "beam, width 4, value head": (beam, "solve"),
        "beam, width 4, policy": (lambda _: beam(), "solve"),
        "mcts, 16 simulations": (lambda guidance: mcts(guidance, 16), "solve"),
    }
    ratios = {}
    print(f"{checkpoint}: {problems} problems of {numbers} numbers, median of {repeats}")
    for name, (made, instruction) in tqdm(strategies.items(), desc="search", leave=False):
        ways = {
            "request": (alone, made(head_alone), 1),
            "problem": (policy, made(head), 1),
            "batched": (policy, made(head), problems),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        answers = {}
        for repeat in range(repeats + 1):
            for way, (runner, strategy, concurrent) in ways.items():
                begun = time.perf_counter()
                found = search_all(
                    strategy, runner, task, asked, instruction=instruction, concurrent=concurrent
                )
                if repeat:  # the first round warms up
                    times[way].append(time.perf_counter() - begun)
                answers[way] = [r.response for r in found]
        shown = []
        for way in ("request", "problem"):
            pairs = [one / many for one, many in zip(times[way], times["batched"], strict=True)]
            same = sum(a == b for a, b in zip(answers[way], answers["batched"], strict=True))
            shown.append(
                f"one {way} at a time {median(times[way]):.2f} s, ratio {median(pairs):.1f} "
                f"({min(pairs):.1f} to {max(pairs):.1f}), {same} of {problems} answers the same"
            )
            ratios.setdefault(name, median(pairs))
        print(f"  {name}: batched {median(times['batched']):.2f} s; {'; '.join(shown)}")
    return ratios


class _OneRequestACall:
    """A policy or a value head that carries out the requests of a turn one after the other."""

    def __init__(self, runner: Policy | ValueHead):
        self.runner = runner

    def __getattr__(self, name: str):
        return getattr(self.runner, name)

    def sample_each(self, requests, seeds):
        pairs = zip(requests, seeds, strict=True)
        return [self.runner.sample_each([request], [seed])[0] for request, seed in pairs]

    def logprobs_each(self, requests):
        return [self.runner.logprobs_each([request])[0] for request in requests]

    def score_groups(self, groups):
        return [self.runner.score_groups([group])[0] for group in groups]


def bench_rl(prompts: int = 16, n: int = 8, steps: int = 4, max_new_tokens: int = 256) -> dict:
    """One GRPO update, ours against TRL's `GRPOTrainer`: the same model, problems, group size,
    lengths, float32, one process.

    Prints seconds per update (median, the first not counted) and where they go. The learning rate
    is so low that both policies stay what they are.
    """
    from o1lib.backends.trl import grpo_trainer, timed_steps

    task = Countdown(3)
    asked = task.problems("train", prompts * (steps + 1))
    model, tokenizer = load("nano-think")
    policy, reward = Policy(model, tokenizer, bf16=False), checker_reward(task)
    collect = rollouts(
        task,
        reward,
        lambda step: asked[step * prompts : (step + 1) * prompts],
        n,
        max_new_tokens=max_new_tokens,
    )
    with tempfile.TemporaryDirectory() as folder:
        log = learn(
            Learner.of(policy),
            collect,
            fit(ppo(), advantage=group_mean, max_length=max_new_tokens),
            Schedule(steps + 1, 1e-9, decay=False),
            folder,
            label="ours",
        )
        ours = [(r["seconds"], r["seconds_collect"]) for r in log.rows[1:]]
        trainer = grpo_trainer(
            load("nano-think")[0],
            tokenizer,
            task,
            asked,
            reward,
            folder,
            n=n,
            prompts_per_step=prompts,
            steps=steps + 1,
            max_new_tokens=max_new_tokens,
            lr=1e-9,
            loss_type="dr_grpo",
            scale_rewards="none",
            beta=0.0,
        )
        theirs = timed_steps(trainer)[1:]
    length = sum(r["length"] for r in log.rows[1:]) / len(log.rows[1:])
    used = sum(r["informative_share"] for r in log.rows[1:]) / len(log.rows[1:])
    facts = machine.describe()
    print(
        f"rl: nano-think, {prompts} prompts x {n}, at most {max_new_tokens} new tokens "
        f"(mean {length:.0f}), float32, {facts['threads']} threads, median of {steps}"
    )
    result = {}
    for name, times in (("ours", ours), ("TRL", theirs)):
        total, generation = median(t for t, _ in times), median(g for _, g in times)
        result[name] = total
        print(
            f"  {name}: {total:.2f} s an update, {generation:.2f} s of it sampling, "
            f"{total - generation:.2f} s the rest"
        )
    result["ratio"] = result["TRL"] / result["ours"]
    ratios = [t / o for (t, _), (o, _) in zip(theirs, ours, strict=True)]
    print(
        f"  ratio: {result['ratio']:.1f} ({min(ratios):.1f} to {max(ratios):.1f}); ours leaves out "
        f"groups of equal rewards and updates on {used:.0%} of the completions"
    )
    return result


def _generate(model, tokenizer, prompts: list[list[int]], n: int, limit: int, seed: int) -> int:
    """Sample with transformers and count the useful tokens."""
    longest = max(map(len, prompts))
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts])
    torch.manual_seed(seed)
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=(ids != pad).long(),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=n,
            max_new_tokens=limit,
            pad_token_id=pad,
            eos_token_id=eos,
        )[:, longest:]
    ended = (out == eos).int().cumsum(1)
    return int(((ended == 0) | ((out == eos) & (ended == 1))).sum())


def _seconds(function, least: float = 0.05) -> float:
    """Seconds of one call, the median of several."""
    function()
    times = []
    while sum(times) < least or len(times) < 5:
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return median(times)


@torch.inference_mode()
def _roofline(sampler: LlamaSampler, lengths: list[int], prompt_length: int) -> float:
    """Tokens a second if there were only the matrix products and, from memory, one reading of the
    KV cache a step.
    """
    sizes = [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512]
    sizes = [s for s in sizes if s < len(lengths)] + [len(lengths)]
    matrices = [m for layer in sampler.layers for m in layer] + [sampler.head]
    gemm = {}
    for rows in sizes:
        inputs = [torch.randn(rows, m.shape[0]).to(sampler.dtype) for m in matrices]
        gemm[rows] = _seconds(
            lambda inputs=inputs: [x @ m for x, m in zip(inputs, matrices, strict=True)]
        )
    block = torch.ones(64 * 2**20)  # 256 MiB, more than any processor's cache
    bandwidth = 4 * block.numel() / _seconds(block.sum)
    slot = (
        2
        * len(sampler.layers)
        * sampler.kv_heads
        * sampler.head_dim
        * torch.finfo(sampler.dtype).bits
        // 8
    )
    total = 0.0
    for step in range(max(lengths)):
        rows = sum(length > step for length in lengths)
        above = min(s for s in sizes if s >= rows)
        below = max((s for s in sizes if s <= rows), default=above)
        share = 0.0 if above == below else (rows - below) / (above - below)
        total += gemm[below] + share * (gemm[above] - gemm[below])
        total += rows * (prompt_length + step) * slot / bandwidth
    return sum(lengths) / total
