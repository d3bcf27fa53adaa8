"""Execute the notebooks headlessly (papermill), check their numbers, write HTML and an index."""

from __future__ import annotations

import base64
import html
import json
import time
from pathlib import Path

import papermill
from nbconvert import HTMLExporter
from tqdm.auto import tqdm

from o1lib.lab.paths import ROOT, outputs_dir
from o1lib.lab.results import accept, compare, load_expected, reported


def find_notebooks(names: list[str]) -> list[Path]:
    """The numbered notebooks, all or those whose name starts with one of `names`. Raises
    `ValueError` for no match.
    """
    found = sorted((ROOT / "notebooks").glob("[0-9][0-9]*.ipynb"))
    if not found:
        raise ValueError(f"there are no notebooks in {ROOT / 'notebooks'}")
    if not names:
        return found
    for name in names:
        if not any(path.name.startswith(name) for path in found):
            raise ValueError(
                f"no notebook starts with {name!r}; there are {', '.join(p.stem for p in found)}"
            )
    return [path for path in found if path.name.startswith(tuple(names))]


def run_notebooks(
    scale: str,
    names: list[str] | None = None,
    out: Path | None = None,
    in_place: bool = False,
    accept_numbers: bool = False,
) -> bool:
    """Run notebooks at a scale; prints the results table and returns whether all ran and every
    number was as expected.
    """
    out = Path(out or outputs_dir(scale))
    out.mkdir(parents=True, exist_ok=True)
    table, summary = [], []
    for path in tqdm(find_notebooks(names or []), desc=f"notebooks ({scale})", unit="notebook"):
        begun, error = time.monotonic(), None
        target = out / path.name
        target.unlink(missing_ok=True)
        try:
            papermill.execute_notebook(
                path,
                target,
                parameters={"SCALE": scale},
                kernel_name="python3",
                cwd=ROOT,
                progress_bar={"leave": False},
            )
        except papermill.PapermillExecutionError as failure:
            error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
        except Exception as failure:  # not a notebook, or no kernel: the others still run
            error = f"cannot be run: {type(failure).__name__}: {failure}"
        seconds = time.monotonic() - begun
        if not target.exists():
            summary.append((path, False, seconds, error))
            continue
        notebook = json.loads(target.read_text())
        if accept_numbers and error is None:
            accept(path.stem, scale, reported(notebook))
        rows = compare(reported(notebook), load_expected(path.stem, scale))
        table += [(path.stem, *row) for row in rows]
        ok = error is None and all(row[-1] for row in rows)
        summary.append((path, ok, seconds, error))
        page, _ = HTMLExporter().from_filename(str(target))
        target.with_suffix(".html").write_text(page, encoding="utf-8")
        if in_place and error is None:
            path.write_text(json.dumps(_cleaned(notebook), indent=1, ensure_ascii=False) + "\n")
            _save_picture(notebook)
    _write_index(out, scale, summary, table)
    _print(table, summary)
    return all(ok for _, ok, _, _ in summary)


def _shown(value) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print(table, summary) -> None:
    print(f"\n{'notebook':28s} {'number':44s} {'value':>9s} {'expected':>17s}")
    for notebook, name, value, wanted, tolerance, ok in table:
        range_ = f"{_shown(wanted)} +- {_shown(tolerance)}"
        print(
            f"{notebook:28s} {name:44s} {_shown(value):>9s} {range_:>17s} {'ok' if ok else 'NOT AS EXPECTED'}"
        )
    for path, ok, seconds, error in summary:
        print(
            f"{'ok    ' if ok else 'FAILED'} {path.stem} in {seconds:.0f} s{': ' + error if error else ''}"
        )


VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


def _cleaned(notebook: dict) -> dict:
    """An executed notebook without what papermill added to it, and without finished progress bars."""
    states = notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    bars = {name for name, model in states.items() if model["model_name"] == "HBoxModel"}
    cells = [
        cell
        for cell in notebook["cells"]
        if "injected-parameters" not in cell["metadata"].get("tags", [])
    ]
    for cell in cells:
        for name in ("papermill", "execution"):
            cell["metadata"].pop(name, None)
        if "outputs" in cell:
            cell["outputs"] = [
                output
                for output in cell["outputs"]
                if output.get("data", {}).get(VIEW, {}).get("model_id") not in bars
            ]
    shown, kept = json.dumps(cells), {}
    while more := {k: v for k, v in states.items() if k not in kept and k in shown}:
        kept |= more  # a widget's state names those of its parts
        shown = json.dumps(more)
    states.clear()
    states.update(kept)
    metadata = {k: v for k, v in notebook["metadata"].items() if k != "papermill"}
    if not states:
        metadata.pop("widgets", None)
    return notebook | {"cells": cells, "metadata": metadata}


def _save_picture(notebook: dict) -> None:
    """The README's picture is the figure of the cell tagged `readme-picture`."""
    for cell in notebook["cells"]:
        if "readme-picture" in cell["metadata"].get("tags", []):
            for output in cell["outputs"]:
                if "image/png" in output.get("data", {}):
                    png = base64.b64decode(output["data"]["image/png"])
                    (ROOT / "notebooks" / "picture.png").write_bytes(png)


def _write_index(out: Path, scale: str, summary, table) -> None:
    items = "".join(
        f'<li><a href="{p.stem}.html">{html.escape(p.stem)}</a>: {"ok" if ok else "failed"}, {s:.0f} s</li>'
        for p, ok, s, _ in summary
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(c if isinstance(c, str) else _shown(c)))}</td>" for c in row[:5])
        + f"<td>{'ok' if row[5] else 'not as expected'}</td></tr>" for row in table
    )  # fmt: skip
    head = "<tr><th>notebook</th><th>number</th><th>value</th><th>expected</th><th>tolerance</th><th></th></tr>"
    style = "<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:left}</style>"
    page = f"<!doctype html><meta charset=utf-8><title>o1lib, {scale}</title>{style}<h1>o1lib, scale {scale}</h1><ul>{items}</ul><table>{head}{rows}</table>"
    (out / "index.html").write_text(page, encoding="utf-8")
