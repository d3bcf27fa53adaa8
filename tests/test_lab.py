"""The base the trainers stand on: results, paths, doctor, notebooks' own rules, shipped artefacts."""

import json
import re

import nbformat
import pytest
from transformers import AutoModelForCausalLM, LlamaForTokenClassification

from o1lib import doctor
from o1lib.lab import results
from o1lib.lab.notebooks import STATE, VIEW, _cleaned, find_notebooks
from o1lib.lab.paths import ROOT, data_dir, file_hash, outputs_dir
from o1lib.lab.results import MIME, accept, compare, load_expected, reported
from o1lib.lab.scales import pick
from o1lib.lab.statistics import interval, pass_at_k
from o1lib.model.checkpoints import card_of, find, load
from o1lib.model.network import SIZES
from o1lib.recipes.checkpoints import RECIPES
from o1lib.recipes.stages import Value

SHIPPED = sorted(p.name for p in (data_dir() / "checkpoints").glob("*") if p.is_dir())


def test_pick():
    assert pick("ci", 1, 2) == 1
    assert pick("gpu", 1, 2) == 2
    assert pick("gpu", 1, 2, 3) == 3
    with pytest.raises(ValueError, match="unknown scale"):
        pick("huge", 1, 2)
    with pytest.raises(ValueError, match="unknown scale"):
        outputs_dir("huge")


def test_pass_at_k_equals_counting():
    """Against all subsets of the samples."""
    from itertools import combinations

    samples = [1, 0, 0, 1, 0, 0]
    for k in range(1, 7):
        subsets = list(combinations(samples, k))
        assert pass_at_k(6, 2, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_at_k(6, 0, 6) == 0.0
    with pytest.raises(ValueError, match="need 1 <= k"):
        pass_at_k(4, 2, 5)


def test_interval_covers():
    low, high = interval(40, 100)
    assert low < 0.4 < high
    assert interval(0, 10)[0] == 0.0
    assert interval(10, 10)[1] == pytest.approx(1.0)
    assert interval(0, 0) == (0.0, 1.0)


def test_compare_finds_what_is_off():
    rows = compare(
        {"a": 1.0, "b": 2.0, "d": 4.0}, {"a": [1.1, 0.2], "b": [3.0, 0.5], "c": [1.0, 1.0]}
    )
    assert {name: ok for name, *_, ok in rows} == {"a": True, "b": False, "c": False, "d": False}


def test_accepting_keeps_tolerances(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    accept("00_x", "ci", {"a": 0.123456})
    path = results.expected_file("00_x")
    path.write_text(path.read_text().replace("0.3", "0.5"))
    accept("00_x", "ci", {"a": 0.2, "b": 1.0})
    assert load_expected("00_x", "ci") == {"a": [0.2, 0.5], "b": [1.0, 0.3]}
    assert load_expected("00_x", "laptop") == {}


def test_reported_reads_outputs():
    cell = {"outputs": [{"data": {MIME: {"name": "x", "value": 0.5}}}, {"text": "hm"}]}
    assert reported({"cells": [cell, {"source": ""}]}) == {"x": 0.5}


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
    cleaned = _cleaned({"cells": cells, "metadata": {"papermill": 1, "widgets": widgets}})
    [cell] = cleaned["cells"]
    assert cell == {"metadata": {}, "outputs": [outputs[1], {"text": "kept"}]}
    assert set(cleaned["metadata"]["widgets"][STATE]["state"]) == {"bb1", "bb2"}
    assert "papermill" not in cleaned["metadata"]


def test_doctor_names_the_mend(monkeypatch, tmp_path):
    assert all(isinstance(name, str) for name, _ in doctor.checks())
    monkeypatch.setenv("O1LIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="o1lib train"):
        doctor._checkpoints()
    with pytest.raises(ValueError, match="data/logs lacks"):
        doctor._notebooks()
    (tmp_path / "checkpoints" / "broken").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"restore data/checkpoints"):
        doctor._checkpoints()
    monkeypatch.setattr(doctor, "MINIMUM_PYTHON", (99, 0))
    with pytest.raises(ValueError, match=r"install 3\.11"):
        doctor._python()


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda p: p.stem)
def test_notebooks_keep_the_rules(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 80
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert sum("parameters" in c.metadata.get("tags", []) for c in code) == 1
    for cell in code:
        lines = cell.source.splitlines()
        assert len(lines) <= 25
        assert max(map(len, lines)) <= 79
        assert not any(o.output_type == "error" for o in cell.outputs)
    text = "".join(c.source for c in notebook.cells)
    assert "Predict first" in text
    for scale in ("ci", "laptop"):
        assert load_expected(path.stem, scale), f"no expected numbers at {scale}"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoints(name):
    """Loadable, small, with a card; made from the parent that is shipped beside it, by the recipe
    that is in the code.
    """
    value = isinstance(RECIPES[name], Value)
    kind = LlamaForTokenClassification if value else AutoModelForCausalLM
    model, tokenizer = load(name, kind=kind)
    card = card_of(name)
    assert (find(name) / "model.safetensors").stat().st_size < 8 * 2**20
    assert model.num_parameters() == card["weights"]
    assert len(tokenizer) == model.config.vocab_size
    assert {"command", "seed", "parent", "parent_hash", "minutes", "scores"} <= set(card)
    parent, config = RECIPES[name].parent, RECIPES[name].settings
    if value:
        config = card["config"] | config
    assert card["parent"] == parent
    assert card["config"] == json.loads(json.dumps(config)), "the recipe has changed since"
    if parent not in SIZES:
        present = file_hash(find(parent) / "model.safetensors")
        assert card["parent_hash"] == present, f"{parent} has changed since {name} was made"
    assert not list(find(name).glob("*.bin")) + list(find(name).glob("*.pt"))


def test_the_shipped_names():
    assert set(SHIPPED) == set(RECIPES)


def test_a_value_model_is_no_policy():
    with pytest.raises(ValueError, match="is no LlamaForCausalLM"):
        load("nano-value")
    with pytest.raises(ValueError, match="is no LlamaForTokenClassification: it lacks score"):
        load("nano-think", kind=LlamaForTokenClassification)


def test_readme_names_what_exists():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    assert "make run" in text
    assert "make test" in text


def test_readme_code_runs(capsys):
    """The library in ten lines, then one's own task: as printed in the README."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) == 2
    exec(compile("\n".join(blocks).replace("100", "5"), "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "<think>" in printed
    assert printed.strip().endswith("0.0")  # nobody has taught it to reverse
