"""The base the trainers stand on: paths, doctor, notebooks' own rules, shipped artefacts."""

import json
import re

import nbformat
import pytest
from transformers import AutoModelForCausalLM, LlamaForTokenClassification

from o1lib import doctor
from o1lib.lab.notebooks import find_notebooks
from o1lib.lab.paths import ROOT, data_dir, file_hash, outputs_dir
from o1lib.lab.results import load_expected
from o1lib.lab.scales import pick
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
