"""Execute the notebooks headlessly (papermill), check their numbers and findings, write pages."""

from __future__ import annotations

import base64
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import papermill
import zmq
from tqdm.auto import tqdm
from traitlets.config import Config

from o1lib.lab import environment
from o1lib.lab.files import exclusive, write_text
from o1lib.lab.findings import Finding, findings
from o1lib.lab.frontpage import front_page
from o1lib.lab.pages import page, title_of
from o1lib.lab.paths import ROOT, outputs_dir
from o1lib.lab.results import accept, check_numbers, load_expected, reported

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook: the first error, the numbers as rows of `check_numbers`, and the
    findings.
    """

    stem: str
    seconds: float
    error: str | None = None
    numbers: list[tuple] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notebook: dict | None = None  # as executed

    @property
    def ok(self) -> bool:
        return (
            self.error is None
            and all(row[-1] for row in self.numbers)
            and all(found.ok for found in self.findings)
        )


def find_notebooks(names: list[str]) -> list[Path]:
    """The numbered notebooks, all or those whose name starts with one of `names`. Raises
    `ValueError` for no match.
    """
    found = sorted((ROOT / "notebooks").glob("[0-9][0-9]*.ipynb"))
    if not found:
        raise ValueError(
            f"there are no notebooks in {ROOT / 'notebooks'}: they come with the repository, "
            "not with the installed package"
        )
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
    resume: bool = False,
) -> bool:
    """Run notebooks at a scale; prints what was found and returns whether all ran, every number was
    as expected, and every finding held that this scale can show.

    Args:
        out: folder of the executed notebooks and their pages; by default `outputs/SCALE`.
        in_place: write the notebooks that are ok back into `notebooks/`, with their outputs.
        accept_numbers: record the numbers found as the expected ones.
        resume: let the trainings of a notebook go on from (or be read from) an earlier run; without
            it they begin anew.

    Raises `ValueError` for an unknown scale or notebook, and when another run writes there.
    """
    paths = find_notebooks(names or [])
    runs = outputs_dir(scale) / "runs"
    out = Path(out or outputs_dir(scale))
    out.mkdir(parents=True, exist_ok=True)
    environment.prepare()
    outcomes = []
    with exclusive(out), exclusive(runs):
        for path in tqdm(paths, desc=f"notebooks ({scale})", unit="notebook"):
            if not resume:
                forget_runs(runs, path.stem)
            outcome = _execute(path, out / path.name, scale)
            if accept_numbers and outcome.error is None:
                accept(path.stem, scale, reported(outcome.notebook))
                outcome = read_outcome(out / path.name, scale)
            if in_place and outcome.ok:
                text = json.dumps(cleaned(outcome.notebook), indent=1, ensure_ascii=False)
                write_text(path, text + "\n")
                _save_picture(outcome.notebook)
            outcomes.append(outcome)
        index = write_pages(out, scale)
    _print(outcomes, in_place)
    print(f"the pages: {index.resolve().as_uri()}")
    return all(outcome.ok for outcome in outcomes)


def forget_runs(runs: Path, stem: str) -> None:
    """Delete what an earlier run of a notebook trained: folders that begin with its number."""
    for folder in runs.glob(f"{stem.split('_')[0]}-*"):
        shutil.rmtree(folder)


def _execute(path: Path, target: Path, scale: str) -> Outcome:
    """Execute one notebook; what fails is in the outcome, and the other notebooks still run."""
    begun, error = time.monotonic(), None
    target.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            path,
            target,
            parameters={"SCALE": scale},
            kernel_name="python3",
            cwd=ROOT,
            progress_bar={"leave": False},
            config=_kernel_config(),
        )
    except papermill.PapermillExecutionError:
        pass  # the executed notebook says where and why
    except Exception as failure:  # not a notebook, or no kernel
        error = f"cannot be run: {type(failure).__name__}: {failure}"
    if error or not target.exists():
        return Outcome(path.stem, time.monotonic() - begun, error or "nothing was written")
    return read_outcome(target, scale)


def _kernel_config() -> Config:
    """Kernels that encrypt what they say where this machine can; they warn where they do not."""
    policy = "auto" if zmq.has("curve") else "disabled"
    return Config({"KernelManager": {"transport_encryption": policy}})


def read_outcome(target: Path, scale: str) -> Outcome:
    """The outcome of an executed notebook, from its file."""
    notebook = json.loads(target.read_text(encoding="utf-8"))
    about = notebook["metadata"].get("papermill", {})
    error = None
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" and error is None:
                where, what = cell.get("execution_count"), output["evalue"]
                error = f"cell {where}: {output['ename']}: {what}"
    if error is None and about.get("exception"):
        error = "it was stopped"
    numbers = check_numbers(reported(notebook), load_expected(target.stem, scale))
    seconds = about.get("duration") or 0.0
    return Outcome(target.stem, seconds, error, numbers, findings(notebook), notebook)


def write_pages(out: Path, scale: str) -> Path:
    """HTML pages of all executed notebooks in a folder, under a front page; returns that."""
    outcomes = [read_outcome(path, scale) for path in sorted(out.glob("[0-9][0-9]*.ipynb"))]
    names = [(o.stem, title_of(o.notebook) or o.stem) for o in outcomes]
    for i, (stem, _) in enumerate(names):
        before = names[i - 1] if i else None
        after = names[i + 1] if i + 1 < len(names) else None
        write_text(out / f"{stem}.html", page(out / f"{stem}.ipynb", before, after))
    picture = ROOT / "notebooks" / "picture.png"
    shown = picture.read_bytes() if picture.exists() else None
    write_text(out / "index.html", front_page(outcomes, scale, shown))
    return out / "index.html"


def shown_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print(outcomes: list[Outcome], in_place: bool) -> None:
    print(f"\n{'notebook':28s} {'number':44s} {'value':>9s} {'expected':>17s}")
    for outcome in outcomes:
        for name, value, wanted, tolerance, ok in outcome.numbers:
            if value is None and outcome.error:
                continue  # the error came before it
            range_ = f"{shown_number(wanted)} +- {shown_number(tolerance)}"
            state = "ok" if ok else "NOT AS EXPECTED"
            value = shown_number(value)
            print(f"{outcome.stem:28s} {name:44s} {value:>9s} {range_:>17s} {state}")
    for outcome in outcomes:
        for found in outcome.findings:
            state = "not shown at this scale" if not found.shown else "holds"
            state = state if found.ok else "DOES NOT HOLD"
            print(f"{outcome.stem:28s} {state}: {found.sentence} ({found.numbers()})")
    for outcome in outcomes:
        state, error = "ok    " if outcome.ok else "FAILED", outcome.error
        kept = ", not written back" if in_place and not outcome.ok else ""
        why = f": {error}" if error else ""
        print(f"{state} {outcome.stem} in {outcome.seconds:.0f} s{kept}{why}")


def cleaned(notebook: dict) -> dict:
    """An executed notebook as it is committed: without what papermill added, without finished
    progress bars, and with the kernel's name as JupyterLab writes it.
    """
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
    metadata["kernelspec"] = KERNEL
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
