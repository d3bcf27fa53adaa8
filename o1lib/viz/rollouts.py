"""A batch of completions to browse: group by group the prompt, and of every sample its reward, its
length, and its tokens on a ground that says how much each of them is pushed up or down.

One page without scripts. What a model writes is hostile text: it is escaped, and characters that
do not print are replaced. Rewards, lengths and advantages stand in words too, so that nothing but
the grounds is lost where a page drops styles.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import groupby

import torch

from o1lib.learning.advantages import Advantage
from o1lib.learning.completions import Batch, Completion, Rows
from o1lib.model.batching import like_lengths
from o1lib.viz.palette import GRAY, diverging
from o1lib.viz.terminal import harmless
from o1lib.viz.trace import Chain

Numbers = Sequence[Sequence[float] | torch.Tensor]  # per row: one number, or one for each token
_TABLE = '<table style="color:inherit;font-size:inherit;width:100%;table-layout:auto">'
_CELL = 'style="text-align:left;vertical-align:top;white-space:nowrap"'
_TOKENS = 'style="text-align:left;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere"'


@torch.no_grad()
def token_numbers(
    policy, completions: Sequence[Completion], max_tokens: int = 4096
) -> dict[str, list[torch.Tensor]]:
    """What a policy says of each token of sampled completions, for `show_rollouts(also=...)`: the
    `entropy` of the distribution it comes from, and the `log-ratio` log p(token) - log p_old(token)
    to the policy that sampled it (both in nats), each of shape (tokens,).
    """
    found: dict[str, list] = {n: [None] * len(completions) for n in ("entropy", "log-ratio")}
    for chosen, length in like_lengths([len(c) for c in completions], max_tokens):
        rows = Rows([completions[i] for i in chosen], policy.model, length)
        columns = {"entropy": rows.entropy, "log-ratio": rows.logprobs - rows.old_logprobs}
        for name, values in columns.items():
            for row, i in zip(values.cpu(), chosen, strict=True):
                start, n = len(completions[i].prompt_ids) - 1, len(completions[i].completion_ids)
                found[name][i] = row[start : start + n]
    return found


def show_rollouts(
    batch: Batch | Sequence[Completion],
    tokenizer,
    advantages: Advantage | Numbers | None = None,
    also: Mapping[str, Numbers] | None = None,
    *,
    groups: int = 4,
    samples: int = 8,
    tokens: int = 160,
) -> Chain:
    """A browser of rollouts, the best sample of a group first.

    Args:
        batch: of `rollouts` or another collector, or completions.
        tokenizer: of the policy.
        advantages: an advantage function, or its numbers: one per completion or one per token.
            Blue tokens are made more likely, orange ones less; the strongest color is the largest
            advantage in the batch.
        also: further numbers by name, one per token (`token_numbers`), for the tooltips; the size
            of the first is drawn as a line below each token.
        groups, samples, tokens: how many groups, samples of a group, and tokens that are not
            folded are shown; the page says how many are left out.

    Raises `ValueError` where numbers do not fit the completions.
    """
    batch = batch if isinstance(batch, Batch) else Batch(list(batch))
    if callable(advantages):
        advantages = advantages(batch) if batch.rows else []
    named = ({"advantage": advantages} if advantages is not None else {}) | dict(also or {})
    columns = {name: _spread(name, numbers, batch.rows) for name, numbers in named.items()}
    by_group: dict[tuple, list[int]] = {}
    for i, c in enumerate(batch.rows):  # where no groups are made, the prompts part the rows
        by_group.setdefault((c.group, *c.prompt_ids), []).append(i)
    if not by_group:
        return Chain("<p>No completions.</p>", "No completions.")
    painter = _Painter(tokenizer, columns, tokens)
    page, text = [painter.legend()], []
    for place, rows in enumerate(list(by_group.values())[:groups]):
        ordered = sorted(rows, key=lambda i: -batch.rows[i].reward)
        shown, left = ordered[:samples], len(rows) - samples
        prompt = painter.text(batch.rows[rows[0]].prompt_ids, skip_special_tokens=True).strip()
        mean = sum(batch.rows[i].reward for i in rows) / len(rows)
        title = f"{prompt or '(no prompt)'} · {_many(len(rows), 'sample')}, mean reward {mean:.3g}"
        body = "".join(painter.row(batch.rows[i], i) for i in shown)
        body = f"{_TABLE}{painter.head()}<tbody>{body}</tbody></table>"
        rest = f"{_many(left, 'more sample')} not shown" if left > 0 else ""
        page.append(
            f"<details{'' if place else ' open'}><summary><b>{html.escape(title)}</b></summary>"
            f"{body}{f'<p>{rest}</p>' if rest else ''}</details>"
        )
        text += [title, *(painter.plain(batch.rows[i], i) for i in shown)]
        text += [rest] if rest else []
    if len(by_group) > groups:
        text.append(f"{_many(len(by_group) - groups, 'more group')} not shown")
        page.append(f"<p>{text[-1]}</p>")
    return Chain("".join(page), "\n".join(text))


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _spread(name: str, numbers: Numbers, rows: Sequence[Completion]) -> list[list[float]]:
    """Per completion one number for each of its tokens."""
    if len(numbers) != len(rows):
        raise ValueError(f"{len(numbers)} rows of {name} for {len(rows)} completions")
    found = []
    for given, completion in zip(numbers, rows, strict=True):
        values = torch.as_tensor(given, dtype=torch.float64).flatten().tolist()
        n = len(completion.completion_ids)
        if len(values) not in (1, n):
            raise ValueError(f"{len(values)} numbers of {name} for {n} tokens")
        found.append(values if len(values) == n else values * n)
    return found


def _largest(rows: Sequence[Sequence[float]]) -> float:
    """The largest size of a finite number, at least a little."""
    return max((abs(x) for row in rows for x in row if math.isfinite(x)), default=0.0) or 1.0


class _Painter:
    """Tokens with their numbers, as HTML and as plain text."""

    def __init__(self, tokenizer, columns: dict[str, list[list[float]]], most: int):
        self.tokenizer, self.columns, self.most = tokenizer, columns, most
        self.line = next((name for name in columns if name != "advantage"), None)
        self.largest = {name: _largest(rows) for name, rows in columns.items()}

    def text(self, ids: Sequence[int], **options) -> str:
        options |= {"clean_up_tokenization_spaces": False}
        return harmless(self.tokenizer.decode(list(ids), **options))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, with the blank before it where there is one."""
        found = []
        for before, token in zip([None, *ids], ids, strict=False):
            start = [] if before is None else [before]
            found.append(self.text([*start, token])[len(self.text(start)) :])
        return found

    def ground(self, value: float) -> str:
        """The color behind a token with this advantage."""
        return diverging(value / self.largest["advantage"] if math.isfinite(value) else 0.0)

    def legend(self) -> str:
        parts = []
        if "advantage" in self.columns:
            top = self.largest["advantage"]
            bar = "".join(
                f'<span style="background:{self.ground(x * top)};padding:0 .5em">'
                f"{x * top:+.2g}</span>"
                for x in (-1, -0.5, 0, 0.5, 1)
            )
            parts.append(f"Advantage of a token: {bar} (orange: made less likely, blue: more).")
        if self.line:
            top = self.largest[self.line]
            parts.append(f"The line below it: {html.escape(self.line)}, at most {top:.3g}.")
        return f"<p>{' '.join(parts)}</p>" if parts else ""

    def _columns(self, completion: Completion, row: int) -> dict[str, str]:
        found = {"reward": f"{completion.reward:.3g}" if len(completion.rewards) else ""}
        found["tokens"] = str(len(completion.completion_ids))
        if "advantage" in self.columns:
            values = self.columns["advantage"][row]
            low, high = min(values, default=0.0), max(values, default=0.0)
            found["advantage"] = f"{low:+.3g}" if low == high else f"{low:+.3g} to {high:+.3g}"
        return found

    def head(self) -> str:
        names = ["reward", "tokens", *(["advantage"] if "advantage" in self.columns else [])]
        cells = "".join(f"<th {_CELL}>{name}</th>" for name in [*names, "what was written"])
        return f"<thead><tr>{cells}</tr></thead>"

    def row(self, completion: Completion, row: int) -> str:
        cells = "".join(f"<td {_CELL}>{x}</td>" for x in self._columns(completion, row).values())
        return f"<tr>{cells}<td {_TOKENS}>{self._tokens(completion, row)}</td></tr>"

    def plain(self, completion: Completion, row: int) -> str:
        numbers = ", ".join(f"{k} {v}" for k, v in self._columns(completion, row).items() if v)
        ids = completion.completion_ids
        rest = f" ... ({len(ids) - self.most} more)" if len(ids) > self.most else ""
        return f"  {numbers}: {self.text(ids[: self.most])}{rest}"

    def _tokens(self, completion: Completion, row: int) -> str:
        """The tokens; equal ones side by side share a span, which keeps pages small."""
        drawn = []
        for t, piece in enumerate(self.pieces(completion.completion_ids)):
            values = {name: rows[row][t] for name, rows in self.columns.items()}
            title = [f"{name} {value:+.3g}" for name, value in values.items()]
            if len(completion.logprobs):
                title.append(f"probability {math.exp(completion.logprobs[t]):.3g}")
            style = ""
            if "advantage" in values:
                style = f"background:{self.ground(values['advantage'])}"
            if self.line:
                share = abs(values[self.line]) / self.largest[self.line]
                width = round(4 * share) if math.isfinite(share) else 0
                style += f";border-bottom:{width}px solid {GRAY}" if width else ""
            drawn.append((f'title="{html.escape(", ".join(title))}" style="{style}"', piece))
        parts = [
            "".join(
                f"<span {look}>{html.escape(''.join(piece for _, piece in same))}</span>"
                for look, same in groupby(part, key=lambda token: token[0])
            )
            for part in (drawn[: self.most], drawn[self.most :])
        ]
        if not drawn[self.most :]:
            return parts[0]
        count = _many(len(drawn) - self.most, "more token")
        return f"{parts[0]}<details><summary>{count}</summary>{parts[1]}</details>"
