"""The family of learning methods as values: a loss, an advantage or a choice, what it needs beside
the policy, and where its data come from. All take as many samples; what they make of them is all
that differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from o1lib.learning.advantages import (
    Advantage,
    batch_mean,
    gae,
    greedy_baseline,
    group_mean,
    group_normalized,
    leave_one_out,
    no_baseline,
    whitened,
)
from o1lib.learning.choices import Choice, above, best_and_worst, endings
from o1lib.learning.collect import kl_in_reward, rollouts, training_problems
from o1lib.learning.gather import from_search, grow_and_improve, refilled
from o1lib.learning.loop import Collector
from o1lib.learning.losses import Loss, bce, clone, dpo, ppo, reinforce, value_loss
from o1lib.learning.updates import Update, both, fit, on, restarted
from o1lib.reward.outcome import checker_reward
from o1lib.search.choose import by_checker
from o1lib.search.expand import sampled_steps
from o1lib.search.guidance import rollouts as by_rollouts
from o1lib.search.sampling import best_of_n
from o1lib.search.trees import beam

LONGEST = 200  # tokens of a chain while learning
Source = Callable[..., Collector]  # (task, problems of a round, n samples of each, seed)


# --- where data come from


def samples(task, problems: int, n: int, seed: int, **options) -> Collector:
    """`n` samples of every problem; a greedy twin is one of them."""
    asked = training_problems(task, problems, seed)
    n -= options.get("greedy_twin", False)
    options = {"max_new_tokens": LONGEST, "seed": seed} | options
    return rollouts(task, checker_reward(task), asked, n, **options)


every_sample = partial(samples, keep_equal=True)


def penalized(task, problems: int, n: int, seed: int, beta: float = 0.01) -> Collector:
    """Samples whose rewards hold the policy to the reference."""
    return kl_in_reward(every_sample(task, problems, n, seed), beta)


def refilled_samples(task, problems: int, n: int, seed: int) -> Collector:
    """Half as many problems, asked for again until as many groups teach something."""
    half = max(1, problems // 2)
    return refilled(samples(task, half, n, seed), half, most=3)


def grown(task, problems: int, n: int, seed: int) -> Collector:
    """Samples for three rounds: all right ones, then those right where others were wrong."""
    return grow_and_improve(every_sample(task, problems, n, seed), (0.0, 0.25, 0.5), group_mean)


def searched(task, problems: int, n: int, seed: int, *, strategy, share=1.0, **options):
    """What a search finds on a share of the problems, chosen so that it costs as many tokens."""
    some = training_problems(task, max(1, int(problems * share)), seed)
    return from_search(strategy, task, some, seed=seed, **options)


# A step of the beam is 16 tokens, whatever they say: it knows nothing of how chains are written.
CHAIN_BEAM = beam(
    by_rollouts(2, max_new_tokens=LONGEST),
    width=2,
    expand=sampled_steps(2, stop=(), max_new_tokens=16),
    choose=by_checker(),
    max_depth=12,
)


# --- methods


@dataclass(frozen=True)
class Method:
    """A method of learning.

    Args:
        loss, advantage, average: how the policy is fitted (`fit`).
        choose: what it learns from, of all that was gathered.
        source: where its data come from.
        roles: models that it needs beside the policy.
        also: what else is fitted to the same batch: a critic, a verifier.
        pool: steps whose samples are gathered before it learns from them together.
        rounds: rounds of learning from the same samples.
        restart: whether each round of learning begins at the start's weights.
        minibatches, minibatch_tokens: how often a batch moves the weights.
    """

    loss: Loss
    advantage: Advantage | None = None
    average: str = "token"
    choose: Choice | None = None
    source: Source = samples
    roles: tuple[str, ...] = ()
    also: Update | None = None
    pool: int = 1
    rounds: int = 1
    restart: bool = False
    minibatches: int = 1
    minibatch_tokens: int | None = None

    def fitted(self, **options) -> Update:
        """The update of the policy alone."""
        update = fit(self.loss, advantage=self.advantage, average=self.average, **options)
        return on(self.choose, update) if self.choose else update

    @property
    def update(self) -> Update:
        """The whole update."""
        update = self.fitted(
            minibatches=self.minibatches, minibatch_tokens=self.minibatch_tokens, max_length=LONGEST
        )
        update = restarted(update) if self.restart else update
        return both(update, self.also) if self.also else update


# What is cloned is gathered for four steps and then learned from in small batches, as documents
# are.
imitate = partial(Method, clone, pool=4, minibatch_tokens=1024)
GAE = whitened(gae())
CLIP = (0.2, 0.2)
METHODS: dict[str, Method] = {
    "REINFORCE": Method(reinforce, no_baseline, source=every_sample),
    "batch mean": Method(reinforce, batch_mean, source=every_sample),
    "RLOO": Method(reinforce, leave_one_out),
    "ReMax": Method(reinforce, greedy_baseline, source=partial(samples, greedy_twin=True)),
    "PPO": Method(
        ppo(CLIP),
        GAE,
        source=penalized,
        roles=("reference", "critic"),
        also=fit(value_loss, advantage=gae(), model="critic", average="token", lr_scale=5.0),
        minibatches=2,
    ),
    "GRPO": Method(ppo(CLIP), group_normalized, average="sequence"),
    "Dr. GRPO": Method(ppo(CLIP), group_mean, average="constant"),
    "DAPO": Method(ppo((0.2, 0.28)), group_normalized, source=refilled_samples),
    "DPO": Method(dpo(), choose=best_and_worst, roles=("reference",), minibatches=4),
    "expert iteration": imitate(choose=above(), source=every_sample),
    "STaR": imitate(choose=above(), source=every_sample, roles=("reference",), restart=True),
    "V-STaR": imitate(
        choose=above(),
        source=every_sample,
        roles=("reference", "reward"),
        restart=True,
        also=on(endings, fit(bce, model="reward", average="token", minibatches=16, lr_scale=5.0)),
    ),
    "ReST": imitate(source=grown, rounds=3),
    "best-of-n distillation": imitate(
        source=partial(
            searched,
            strategy=best_of_n(8, by_checker(), max_new_tokens=LONGEST),
            role="reference",
        ),
        roles=("reference",),
    ),
    "cloning a beam": imitate(
        source=partial(searched, strategy=CHAIN_BEAM, share=0.25, instruction="think")
    ),
}
