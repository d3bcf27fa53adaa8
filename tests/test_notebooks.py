"""The notebook runner and its pages: any code page, offline, linked, true about failures."""

import ast
import base64
import html
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest

from o1lib.lab import notebooks, results
from o1lib.lab.files import exclusive
from o1lib.lab.findings import Finding
from o1lib.lab.frontpage import first_sentence, front_page
from o1lib.lab.notebooks import (
    KERNEL,
    STATE,
    VIEW,
    Outcome,
    cleaned,
    find_notebooks,
    forget_runs,
    run_notebooks,
)
from o1lib.lab.pages import alt_text, linked, mathml, page

PNG = base64.b64encode(b"\x89PNG and so on").decode()
GOOD = [
    ("markdown", "# Grüße\n\nDie erste *Zeile* costs $\\frac12$, says [one](01_bad.ipynb#a)."),
    ("parameters", 'SCALE = "laptop"'),
    (
        "code",
        "from IPython.display import display\n"
        "from o1lib.lab.findings import finding\n"
        "from o1lib.lab.results import report\n"
        'print("größer als ≥", SCALE)\n'
        'about = {"image/png": {"alt": "A curve"}}\n'
        f'display({{"image/png": "{PNG}"}}, raw=True, metadata=about)\n'
        'finding("Größer", 2, above=1, scale=SCALE)\n'
        'report("zahl ü", 1.0)',
    ),
]
BAD = [("markdown", "# Bad"), ("parameters", 'SCALE = "laptop"'), ("code", "1 / 0")]


def write(path: Path, cells) -> None:
    notebook = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    for kind, source in cells:
        if kind == "markdown":
            notebook.cells.append(nbformat.v4.new_markdown_cell(source))
        else:
            tags = {"tags": ["parameters"]} if kind == "parameters" else {}
            notebook.cells.append(nbformat.v4.new_code_cell(source, metadata=tags))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Two notebooks run under a code page that knows no umlauts, the second with an error."""
    root = tmp_path_factory.mktemp("ran")
    write(root / "notebooks" / "00_good.ipynb", GOOD)
    write(root / "notebooks" / "01_bad.ipynb", BAD)
    expected = root / "notebooks" / "expected" / "00_good.json"
    expected.parent.mkdir()
    expected.write_text(json.dumps({"ci": {"zahl ü": [1.1, 0.2]}}), encoding="utf-8")
    script = (
        "import sys; from pathlib import Path\n"
        "from o1lib.lab import notebooks, results\n"
        "notebooks.ROOT = results.ROOT = Path(sys.argv[1])\n"
        "ok = notebooks.run_notebooks('ci', out=Path(sys.argv[2]), in_place=True)\n"
        "sys.exit(3 if ok else 4)"
    )
    here = os.environ.get("PYTHONPATH", "")
    environment = os.environ | {
        "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
        "O1LIB_OUTPUTS": str(root / "o"),
        "PYTHONPATH": os.pathsep.join([str(Path(notebooks.__file__).parents[2]), here]),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "error::EncodingWarning", "-c", script, root, root / "out"],
        env=environment, capture_output=True, text=True, timeout=240, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return root, done.stdout


def test_any_code_page_will_do(ran):
    root, _ = ran
    text = (root / "out" / "00_good.ipynb").read_text(encoding="utf-8")
    assert "größer als ≥ ci" in text
    assert "Grüße" in (root / "out" / "index.html").read_text(encoding="utf-8")


def test_what_is_ok_is_written_back_as_jupyterlab_would(ran):
    root, printed = ran
    written = json.loads((root / "notebooks" / "00_good.ipynb").read_text(encoding="utf-8"))
    assert written["metadata"]["kernelspec"] == KERNEL
    assert written["metadata"]["language_info"]["name"] == "python"
    assert written["cells"][-1]["outputs"]
    assert "ok     00_good" in printed


def test_a_notebook_that_fails_is_not_written_back(ran):
    root, printed = ran
    left = json.loads((root / "notebooks" / "01_bad.ipynb").read_text(encoding="utf-8"))
    assert left["cells"][-1]["outputs"] == []
    assert "FAILED 01_bad" in printed
    assert "not written back: cell 3: ZeroDivisionError: division by zero" in printed


def test_the_run_says_where_its_pages_are(ran):
    root, printed = ran
    assert printed.rstrip().endswith((root / "out" / "index.html").resolve().as_uri())


def test_pages_are_linked_and_have_alt_texts(ran):
    root, _ = ran
    text = (root / "out" / "00_good.html").read_text(encoding="utf-8")
    assert 'href="01_bad.html#a"' in text
    assert text.count('<a href="index.html">') == 2
    assert text.count('<a class="next" href="01_bad.html"') == 2
    assert 'alt="A curve"' in text
    assert "<mfrac>" in text
    assert "zahl" not in re.sub(r"(?s)<div class=\"jp-Cell-inputWrapper.*?</pre>", "", text)
    front = (root / "out" / "index.html").read_text(encoding="utf-8")
    assert 'href="00_good.html"' in front
    assert 'alt="A curve"' in front
    assert "division by zero" in front


OUTSIDE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\s(?:src|href)=(?!"data:)|@import""")


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda p: p.stem)
def test_pages_are_offline_and_every_formula_converts(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = page(path)
    assert not OUTSIDE.search(text)
    assert text.count("<script") == 2 * text.count('<div class="o1-tree"')  # a tree brings its own
    assert not re.search(r"""url\(["']?(?!["']?data:|#)""", text)
    prose = "".join(re.findall(r'(?s)data-mime-type="text/markdown">(.*?)</div>', text))
    assert "$" not in re.sub(r"(?s)<(code|pre|annotation)\b.*?</\1>", "", prose)
    sources = "".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    assert ("<math" in text) == ("$" in sources)
    assert not re.search(r'href="(?!https?:)[^"]*\.ipynb', text)


@pytest.mark.parametrize("formula", ["a^", "\\left( x", "\\unheard{<a>}"])
def test_a_formula_that_cannot_be_read_stays_tex(formula):
    with pytest.warns(UserWarning, match="stays TeX"):
        assert mathml(formula) == f"<code>{html.escape(formula)}</code>"


def test_widgets_are_their_text(tmp_path):
    data = {VIEW: {"model_id": "a"}, "text/plain": "Two numbers to choose"}
    cell = nbformat.v4.new_code_cell("w", outputs=[nbformat.v4.new_output("display_data", data)])
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {STATE: {"state": {}}}})
    nbformat.write(notebook, tmp_path / "00.ipynb")
    text = page(tmp_path / "00.ipynb")
    assert "Two numbers to choose" in text
    assert "<script" not in text


def test_links_to_other_places_stay():
    assert linked('<a href="https://x.org/a.ipynb">') == '<a href="https://x.org/a.ipynb">'
    assert linked('<a href="02_b.ipynb">') == '<a href="02_b.html">'


def test_alt_falls_back_to_the_title():
    assert alt_text({"metadata": {"image/png": {"alt": "A", "title": "B"}}}) == "A"
    assert alt_text({"metadata": {"title": "B"}, "data": {"text/plain": "<Figure>"}}) == "B"
    assert alt_text({"data": {"text/plain": ["<Figure>"]}}) == "A figure of this notebook"


def test_the_front_page_says_what_failed():
    cells = [{"cell_type": "markdown", "source": ["# T & U\n", "\n", "One **thing**. Two."]}]
    notebook = {"cells": cells}
    rows = [("rate <b>", 0.5, 0.9, 0.1, False)]
    text = front_page([Outcome("00_t", 130.0, None, rows, [], notebook)], "ci", b"png")
    assert "T &amp; U" in text
    assert "One thing." in text
    assert "Two." not in text
    assert "rate &lt;b&gt;" in text
    assert "Not as it should be" in text
    assert "prefers-color-scheme: dark" in text
    assert not OUTSIDE.search(text)
    good = front_page([Outcome("00_t", 1.0, None, [], [], notebook)], "ci")
    assert "Not as it should be" not in good
    assert first_sentence({"cells": []}) == ""


def test_an_unmet_finding_fails_the_run():
    """Within the tolerance of the expected number, and of the wrong sign."""
    rows = [("gain", -0.05, 0.05, 0.12, True)]
    bounds = (("above", 0.0),)
    good = Finding("RL pays", 0.05, "laptop", ("laptop",), bounds)
    bad = Finding("RL pays", -0.05, "laptop", ("laptop",), bounds)
    small = Finding("RL pays", -0.05, "ci", ("laptop",), bounds)
    notebook = {"cells": []}
    states = [Outcome("00", 1.0, None, rows, [f], notebook) for f in (good, bad, small)]
    assert [outcome.ok for outcome in states] == [True, False, True]
    page = front_page(states[1:2], "laptop")
    assert "did <strong>not</strong> hold in this run (-0.05, above 0)" in page
    assert "this cannot be shown" in front_page(states[2:], "ci")


def test_a_run_begins_anew(tmp_path):
    for name in ("00-loop", "00-control", "01-a", "00a-b", "think-4000"):
        (tmp_path / name).mkdir()
    forget_runs(tmp_path, "00_start_here")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00a-b", "01-a", "think-4000"]


def test_a_second_run_on_one_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path))
    for busy in (tmp_path / "out", tmp_path / "ci" / "runs"):
        with exclusive(busy), pytest.raises(ValueError, match="another run is writing"):
            run_notebooks("ci", ["00"], out=tmp_path / "out")


def test_committed_notebooks_keep_widgets_but_no_progress_bars():
    states = {
        "aa1": {"model_name": "HBoxModel", "state": {"children": ["IPY_MODEL_aa2"]}},
        "aa2": {"model_name": "FloatProgressModel"},
        "bb1": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_bb2"]}},
        "bb2": {"model_name": "TextModel"},
    }
    outputs = [{"data": {VIEW: {"model_id": name}}} for name in ("aa1", "bb1")]
    cells = [{"metadata": {"papermill": 1}, "outputs": [*outputs, {"text": "kept"}]}]
    cells.append({"metadata": {"tags": ["injected-parameters"]}})
    widgets = {STATE: {"state": states, "version_major": 2}}
    kept = cleaned({"cells": cells, "metadata": {"papermill": 1, "widgets": widgets}})
    [cell] = kept["cells"]
    assert cell == {"metadata": {}, "outputs": [outputs[1], {"text": "kept"}]}
    assert set(kept["metadata"]["widgets"][STATE]["state"]) == {"bb1", "bb2"}
    assert "papermill" not in kept["metadata"]


def test_notebooks_use_what_the_library_says_they_use():
    """`Used in notebook 04` in a module's docstring: the notebook imports that module."""
    named = 0
    for path in sorted((results.ROOT / "o1lib").rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        module = ".".join(path.relative_to(results.ROOT).with_suffix("").parts)
        for number in re.findall(r"Used in notebook ([0-9]{2})", docstring):
            [notebook] = (results.ROOT / "notebooks").glob(f"{number}_*.ipynb")
            source = notebook.read_text(encoding="utf-8")
            package, name = module.rsplit(".", 1)
            joined = rf"from {re.escape(package)} import [^\n]*\b{name}\b"
            assert module in source or re.search(joined, source), f"{module}, notebook {number}"
            named += 1
    assert named > 10
