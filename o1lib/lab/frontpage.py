"""The front page of a run: the picture, a card a notebook, the numbers folded. One file without
scripts, light or dark as the reader's system is, readable on a phone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape, unescape
from typing import TYPE_CHECKING

from o1lib.lab.pages import alt_text, linked, markdown_html, title_of

if TYPE_CHECKING:
    from o1lib.lab.notebooks import Outcome

STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf7; --card: #fff; --ink: #1d2330; --soft: #5d6675;
  --line: #e3e0d8; --link: #0b57c9; --good: #1d7a46; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --card: #1d2128; --ink: #e8eaee;
  --soft: #a2abb9; --line: #333945; --link: #8ab8ff; --good: #6fce97; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 2.5rem 1.2rem 4rem; }
h1 { font-size: clamp(1.7rem, 4.5vw, 2.7rem); line-height: 1.15; margin: 0 0 .7rem;
  letter-spacing: -.02em; text-wrap: balance; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 .35rem; }
p { margin: 0; } a { color: var(--link); }
.lead { font-size: 1.1rem; color: var(--soft); max-width: 46rem; }
.headline { margin: 1.8rem 0 2.2rem; overflow-x: auto; }
.headline img { width: 100%; min-width: 38rem; display: block; }
.figure { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: .6rem; }
.cards { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; color: inherit;
  overflow: hidden; text-decoration: none; display: flex; flex-direction: column; }
.card:hover, .card:focus-visible { border-color: var(--link); }
.card .picture { background: #fff; height: 11rem; display: flex; align-items: center;
  justify-content: center; border-bottom: 1px solid var(--line); padding: .5rem; }
.card img { max-width: 100%; max-height: 100%; }
.card .number { font-size: 2.6rem; color: #9aa3b2; font-weight: 600; }
.card .text { padding: 1rem 1.1rem; flex: 1; display: flex; flex-direction: column; gap: .2rem; }
.card .text p { color: var(--soft); font-size: .95rem; }
.card .state { margin-top: auto; padding-top: .7rem; font-size: .85rem; color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.banner { border: 1px solid var(--bad); border-radius: 12px; padding: .8rem 1.1rem;
  margin: 1.2rem 0; }
section { margin-top: 2.6rem; }
details { border-top: 1px solid var(--line); padding: .7rem 0; }
summary { cursor: pointer; } summary .count { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; min-width: 30rem; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
ul.findings { padding-left: 1.1rem; } ul.findings li { margin: .3rem 0; }
"""

TITLE = "How a language model learns to reason"
LEAD = (
    "A language model of a few million weights learns to think aloud about number puzzles, in four "
    "steps: policy initialization, reward design, search and learning. Its world is so small that "
    "an exact oracle knows the truth about every state, so every claim here is measured."
)


def front_page(outcomes: Sequence[Outcome], scale: str, picture: bytes | None = None) -> str:
    """The HTML of the front page.

    Args:
        outcomes: executed notebooks in order.
        picture: the headline picture, a PNG.
    """
    cards = "".join(map(_card, outcomes))
    details = "".join(map(_details, outcomes))
    headline = ""
    if picture:
        what = "A chain of thought, and how success grows with the tokens allowed"
        image = _image(base64.b64encode(picture).decode(), what)
        headline = f'<div class="headline figure">{image}</div>'
    failed = [o for o in outcomes if not o.ok]
    banner = ""
    if failed:
        names = ", ".join(f'<a href="#{escape(o.stem)}">{escape(o.stem)}</a>' for o in failed)
        banner = f'<p class="banner"><span class="bad">Not as it should be:</span> {names}</p>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>o1lib: {TITLE}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{TITLE}</h1><p class="lead">{LEAD}</p>{banner}{headline}'
        f'<div class="cards">{cards}</div>'
        f"<section><h2>What was measured (scale {escape(scale)})</h2>{details}</section>"
        "</main></body></html>\n"
    )


def _card(outcome: Outcome) -> str:
    title, sentence = title_of(outcome.notebook) or outcome.stem, first_sentence(outcome.notebook)
    figure = first_figure(outcome.notebook)
    shown = f'<span class="number">{escape(outcome.stem.split("_")[0])}</span>'
    shown = _image(*figure) if figure else shown
    good, bad = '<span class="good">✓ as expected</span>', '<span class="bad">✗ look below</span>'
    state = f"{_duration(outcome.seconds)}{good if outcome.ok else bad}"
    return (
        f'<a class="card" href="{escape(outcome.stem)}.html"><div class="picture">{shown}</div>'
        f'<div class="text"><h2>{escape(title)}</h2><p>{escape(sentence)}</p>'
        f'<p class="state">{state}</p>'
        "</div></a>"
    )


def _details(outcome: Outcome) -> str:
    rows = "".join(_row(*row) for row in outcome.numbers)
    table = (
        '<div class="scroll"><table><tr><th>number</th><th class="n">here</th>'
        f'<th class="n">expected</th><th class="n">give or take</th><th></th></tr>{rows}'
        "</table></div>"
    )
    items = "".join(f"<li>{markdown_html(found.text())}</li>" for found in outcome.findings)
    claims = f'<ul class="findings">{items}</ul>' if items else ""
    error = f'<p class="bad">{escape(outcome.error)}</p>' if outcome.error else ""
    state = '<span class="good">✓</span>' if outcome.ok else '<span class="bad">✗</span>'
    count = f"{len(outcome.numbers)} numbers"
    count += f", {len(outcome.findings)} findings" if items else ""
    return (
        f'<details id="{escape(outcome.stem)}"{"" if outcome.ok else " open"}>'
        f"<summary>{state} {escape(title_of(outcome.notebook) or outcome.stem)} "
        f'<span class="count">{count}</span></summary>'
        f"{error}{claims}{table if rows else ''}</details>"
    )


def _row(name: str, value, wanted, tolerance, ok: bool) -> str:
    cells = "".join(
        f'<td class="n">{"" if n is None else f"{n:.4g}"}</td>' for n in (value, wanted, tolerance)
    )
    state = '<span class="good">✓</span>' if ok else '<span class="bad">not as expected</span>'
    return f"<tr><td>{escape(name)}</td>{cells}<td>{state}</td></tr>"


def _image(png: str, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{png}">'


def _duration(seconds: float) -> str:
    """A time and a dot, or nothing where the time is not known."""
    if not seconds:
        return ""
    return f"{seconds:.0f} s · " if seconds < 100 else f"{seconds / 60:.0f} min · "


def first_figure(notebook: dict) -> tuple[str, str] | None:
    """The first picture that a notebook shows, as base64, and its alternative text."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return "".join(output["data"]["image/png"]).replace("\n", ""), alt_text(output)
    return None


def first_sentence(notebook: dict) -> str:
    """The first sentence of prose below the title, as plain text."""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for block in re.split(r"\n\s*\n", "".join(cell["source"])):
            if not block.lstrip().startswith(("#", "|", "-", "<", ">", "!", "*Goal", "`")):
                html = linked(markdown_html(block))
                text = " ".join(re.sub(r"<[^>]+>", "", html).split())
                found = re.match(r".*?[.!?](?=\s|$)", text)
                if found:
                    return unescape(found[0])
    return ""
