"""The supervised trainer: its loss, exact resume, and what it refuses."""

import json

import pytest
import torch
from recorder import Recorder
from safetensors.torch import load_file, save_file

from o1lib.lab.runlog import RunLog, read_log
from o1lib.learning.collect import documents
from o1lib.learning.completions import Rows
from o1lib.learning.losses import clone
from o1lib.learning.schedules import Cosine, Linear
from o1lib.learning.supervised import TrainConfig, train
from o1lib.learning.updates import Learner, fit
from o1lib.model import checkpoints
from o1lib.model.attention import NAME
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy.corpus import Document, Mixture, base_parts, check_goals, encode, think_part
from o1lib.policy.drills import links_part, lists_part
from o1lib.recipes.checkpoints import make
from o1lib.recipes.stages import Supervised

tokenizer = build_tokenizer()
CONFIG = TrainConfig(tokens=8_000, batch_tokens=1_024, micro_tokens=512)


def mixture(seed=0):
    return Mixture(base_parts(), tokenizer, seed)


def gradient_of(model, batch, **options):
    """The loss and the gradient of one update of cloning."""
    learner = Learner.of(Policy(model, tokenizer, bf16=False))
    learner.optimizers["policy"] = Recorder()
    row = fit(clone, average="token", clip_norm=1e9, **options)(learner, batch)
    return row["loss"], torch.cat([p.grad.flatten() for p in model.parameters()])


def test_loss_and_gradient_equal_transformers():
    """Padded micro-batches and our attention against the model's own loss, one document at a time,
    by labels.
    """
    part = Mixture({"think": (1, think_part(4))}, tokenizer)
    learner = Learner({})
    batch = documents(part, 1500)(learner)
    assert learner.memory["mixture"]["think"]["documents"] == len(batch.rows)
    model, total = build_model("nano"), 0.0
    found = Mixture({"think": (1, think_part(4))}, tokenizer).batch(1500)
    count = sum(sum(mask[1:]) for _, mask in found)
    for ids, mask in found:
        labels = torch.where(torch.tensor(mask), torch.tensor(ids), -100)
        loss = model(input_ids=torch.tensor([ids]), labels=labels[None]).loss
        loss = loss * sum(mask[1:]) / count
        loss.backward()
        total += float(loss.detach())
    theirs = torch.cat([p.grad.flatten() for p in model.parameters()])
    for micro in (1, 1000, 10_000):
        model = build_model("nano")
        model.set_attn_implementation(NAME)
        loss, gradient = gradient_of(model, batch, micro_tokens=micro)
        assert loss == pytest.approx(total, rel=1e-5)
        assert torch.allclose(gradient, theirs, atol=1e-5)


def test_grouped_attention_has_the_same_gradients():
    ids = torch.randint(10, 100, (3, 40))
    gradients = []
    for name in ("sdpa", NAME):
        model = build_model("nano")
        model.set_attn_implementation(name)
        logits = model(input_ids=ids, use_cache=False).logits
        logits.log_softmax(-1)[..., 7].mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.allclose(*gradients, atol=1e-6)


def test_documents_are_never_cut_and_all_used():
    seen = []

    def loss(rows):
        assert rows.ids.numel() <= 600 or rows.ids.shape[0] == 1
        seen.extend((*c.prompt_ids, *c.completion_ids) for c in rows.completions)
        return clone(rows)

    model, batch = build_model("nano"), documents(mixture(), 3_000)(Learner({}))
    learner = Learner.of(Policy(model, tokenizer, bf16=False))
    fit(loss, micro_tokens=600)(learner, batch)
    assert sorted(seen) == sorted(tuple(ids) for ids, _ in mixture().batch(3_000))
    rows = Rows(batch.rows, model)
    assert rows.mask.sum() == sum(c.counted for c in batch.rows)


def test_resume_is_exact(tmp_path):
    whole = build_model("nano")
    log = train(whole, mixture(), CONFIG, tmp_path / "whole")
    for stop in (2, 3, None):  # the run is stopped twice
        halves = build_model("nano")
        resumed = train(halves, mixture(), CONFIG, tmp_path / "halves", stop_after=stop)
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [r["loss"] for r in read_log(resumed.path)] == [r["loss"] for r in read_log(log.path)]
    assert [r["step"] for r in resumed.rows] == list(range(1, len(log.rows) + 1))


def test_training_lowers_the_loss(tmp_path):
    config = TrainConfig(tokens=40_000, batch_tokens=1_024, micro_tokens=1_024)
    losses = train(build_model("nano"), mixture(), config, tmp_path).column("loss")
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5])


def test_log_has_the_losses_by_kind(tmp_path):
    rows = read_log(train(build_model("nano"), mixture(), CONFIG, tmp_path, stop_after=2).path)
    assert {"loss_numbers", "loss_yes", "loss_no", "loss_words", "lr", "tokens"} <= set(rows[0])


def test_nan_stops_with_the_state_kept(tmp_path):
    train(build_model("nano"), mixture(), CONFIG, tmp_path, stop_after=2)
    before = (tmp_path / "state.safetensors").read_bytes()
    state = load_file(tmp_path / "state.safetensors")
    model, broken = build_model("nano"), mixture()
    original = broken.batch

    def poisoned(tokens):
        with torch.no_grad():
            model.lm_head.weight[0] = float("nan")
        return original(tokens)

    broken.batch = poisoned
    with pytest.raises(FloatingPointError, match="gradient is nan at update 3"):
        train(model, broken, CONFIG, tmp_path)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert state


@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_unreadable_state_is_refused(tmp_path, content):
    train(build_model("nano"), mixture(), CONFIG, tmp_path, stop_after=1)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ValueError, match="cannot be read"):
        train(build_model("nano"), mixture(), CONFIG, tmp_path)


def test_state_of_another_run_is_refused(tmp_path):
    train(build_model("nano"), mixture(), CONFIG, tmp_path, stop_after=1)
    with pytest.raises(
        ValueError, match="holds another run: it differs in collect > mixture > seed"
    ):
        train(build_model("nano"), mixture(seed=1), CONFIG, tmp_path)


def test_held_out_goals_are_refused(tmp_path):
    bad = (
        Document("think : make 24 from 4 6 8 8", [("hm", True)]),
        Document(None, [("for 36 keep 4 want 9", True)]),
        Document("judge : make 5 from 2 3", [("<think> use 2 3", True), ("for 87", True)]),
    )
    for i, document in enumerate(bad):
        with pytest.raises(ValueError, match="held out"):
            encode(tokenizer, document)
        with pytest.raises(ValueError, match="held out"):
            train(
                build_model("nano"),
                Mixture({"bad": (1, lambda rng, d=document: d)}, tokenizer),
                CONFIG,
                tmp_path / str(i),
            )
    check_goals(Document("think : make 25 from 1 24", [("1 24 get 25 23 24 yes", True)]))


def test_schedules():
    cosine = Cosine(tokens=1000, lr=1.0, warmup=0.1)
    assert cosine.rate(0) < 0.05
    assert cosine.rate(100) == pytest.approx(1.0)
    assert cosine.rate(550) == pytest.approx(0.525)
    assert cosine.rate(1000) == pytest.approx(0.05)
    linear = Linear(tokens=1000, lr=1.0)
    assert [round(linear.rate(x), 3) for x in (0, 40, 500, 1000)] == [0.2, 0.96, 0.5, 0.0]
    for kind in (Cosine, Linear):
        with pytest.raises(ValueError, match="must be positive"):
            kind(0, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"tokens": 0}, {"tokens": 10, "lr": float("nan")}, {"tokens": 10, "batch_tokens": -1}]
)
def test_bad_configuration_is_refused(wrong):
    with pytest.raises(ValueError, match="must be positive"):
        TrainConfig(**wrong)


def test_run_log_widens_and_survives(tmp_path):
    log = RunLog(tmp_path / "a" / "log.csv")
    log.write({"step": 1, "loss": 0.5})
    log.write({"step": 2, "loss": 0.25, "accuracy": 0.75})
    log.close()
    assert read_log(log.path)[0]["accuracy"] == ""
    again = RunLog(log.path, keep=lambda row: row["step"] < 2)
    again.write({"step": 2, "loss": 0.125})
    assert [r["loss"] for r in read_log(log.path)] == [0.5, 0.125]
    assert again.column("loss") == [0.5, 0.125]


def test_a_kill_loses_no_row(tmp_path, monkeypatch):
    """The file is never shorter than it was: a wider header, or rows cut, is written beside it;
    half a line is dropped.
    """
    log = RunLog(tmp_path / "log.csv")
    log.write({"step": 1, "name": "Größe"})
    log.write({"step": 2, "name": "b"})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("o1lib.lab.runlog.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            log.write({"step": 3, "name": "c", "late": 1})
        with pytest.raises(KeyboardInterrupt):
            RunLog(log.path, keep=lambda row: row["step"] < 2)
    assert [r["step"] for r in read_log(log.path)] == [1, 2]
    assert read_log(log.path)[0]["name"] == "Größe"
    with log.path.open("a") as file:
        file.write("3,half a li")
    assert [r["step"] for r in read_log(log.path)] == [1, 2]
    again = RunLog(log.path)
    again.write({"step": 3, "name": "c"})
    assert [r["step"] for r in read_log(log.path)] == [1, 2, 3]


class TestCheckpoints:
    def test_save_and_load(self, tmp_path):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = build_model("nano")
        checkpoints.save(model, tmp_path / "mine", {"name": "mine"})
        loaded, _ = checkpoints.load(tmp_path / "mine")
        for (name, a), b in zip(
            model.state_dict().items(), loaded.state_dict().values(), strict=True
        ):
            assert torch.equal(a.bfloat16().float(), b), name
        assert (
            AutoModelForCausalLM.from_pretrained(tmp_path / "mine").num_parameters()
            == model.num_parameters()
        )
        other = AutoTokenizer.from_pretrained(tmp_path / "mine")
        text = "think : make 24 from 1 12 112 <answer> ( 1 + 2 ) * 3 </answer>"
        assert other.encode(text) == tokenizer.encode(text)
        assert other.decode(other.encode(text)) == text
        assert json.loads((tmp_path / "mine" / "card.json").read_text()) == {"name": "mine"}
        assert not list(tmp_path.glob("*.part"))

    def test_missing_and_truncated(self, tmp_path):
        with pytest.raises(ValueError, match="there is no checkpoint"):
            checkpoints.load("nothing-of-the-kind")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="not a checkpoint"):
            checkpoints.load(tmp_path / "empty")
        folder = checkpoints.save(build_model("nano"), tmp_path / "cut", {})
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100_000])
        with pytest.raises(ValueError, match="cannot be read"):
            checkpoints.load(folder)
        tensors = load_file(
            checkpoints.save(build_model("nano"), tmp_path / "part", {}) / "model.safetensors"
        )
        tensors.pop("model.norm.weight")
        save_file(tensors, tmp_path / "part" / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match="lacks"):
            checkpoints.load(tmp_path / "part")

    def test_what_was_trained_here_is_found_first(self, tmp_path, monkeypatch):
        """FINDINGS 1.20: under the outputs, where `o1lib train` puts it, before the shipped one."""
        monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path))
        assert "data" in str(checkpoints.find("nano-base"))
        mine = tmp_path / "laptop" / "checkpoints" / "nano-base"
        monkeypatch.setenv("SCALE", "laptop")
        checkpoints.save(build_model("nano"), mine, {})
        assert checkpoints.find("nano-base") == mine

    def test_pickles_are_not_read(self, tmp_path):
        folder = checkpoints.save(build_model("nano"), tmp_path / "old", {})
        (folder / "model.safetensors").unlink()
        torch.save(build_model("nano").state_dict(), folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match="not a checkpoint"):
            checkpoints.load(folder)

    def test_unknown_recipe(self):
        with pytest.raises(ValueError, match="unknown checkpoint"):
            make("nothing")


def test_a_comparison_is_kept_and_goes_on(tmp_path, monkeypatch):
    from o1lib.recipes import grammars as module

    monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setattr(module, "CUTOFFS", (8, 16))
    arms = (module.Arm("t", "a", tokens=3_000), module.Arm("t", "b", digits=True, tokens=3_000))
    module.run_grammars(out=tmp_path, arms=arms[:1], n=3)
    first = (tmp_path / "comparisons.csv").read_text()
    module.run_grammars(out=tmp_path, arms=arms, n=3)
    assert (tmp_path / "comparisons.csv").read_text().startswith(first)
    table, curves = read_log(tmp_path / "comparisons.csv"), read_log(tmp_path / "curves.csv")
    assert [(r["name"], r["split"], r["cutoff"], r["n"]) for r in table] == [
        (name, split, cutoff, 3)
        for name in "ab"
        for split in ("val_inputs", "val_targets")
        for cutoff in (8, 16)
    ]
    assert {r["name"] for r in curves} == {"a", "b"}
    rows = list(module.measure(0, tmp_path / "one", arms[0], 3))
    assert {r["metric"] for r in rows} >= {"success, val_inputs", "success, val_targets", "loss"}
    losses = [r["value"] for r in rows if r["metric"] == "loss"]
    assert losses == pytest.approx([r["loss"] for r in curves if r["name"] == "a"], rel=1e-4)


def test_checkpoints_that_cannot_work_are_refused(tmp_path):
    """Weights that are not numbers, a tokenizer that is not the model's: an error at loading, not a
    wrong score.
    """
    from tokenizers import Tokenizer

    model = build_model("nano")
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        checkpoints.load(checkpoints.save(model, tmp_path / "nan", {}))
    folder = checkpoints.save(build_model("nano"), tmp_path / "tokenizer", {})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["one-too-many"])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ValueError, match="not the model's"):
        checkpoints.load(folder)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"not the model's|cannot be read"):
        checkpoints.load(folder)


def test_a_second_stage_goes_on_from_the_first(tmp_path):
    """Against the two trainings, one after the other, by hand; a finished build is brought back."""
    first, second = (lambda: {"lists": (1, lists_part)}), (lambda: {"links": (1, links_part)})
    configs = TrainConfig(2_000, 512, 512), TrainConfig(1_000, 512, 512, lr=1e-3)
    recipe = Supervised("pico", first, configs[0], then=(second, configs[1]))
    made = recipe.build(tmp_path / "a", "cpu")
    model = build_model("pico")
    for parts, config, name in zip((first, second), configs, "xy", strict=True):
        train(model, Mixture(parts(), build_tokenizer()), config, tmp_path / name)
    for ours, theirs in zip(made.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert list(made.logs) == ["log", "then"]
    assert made.card["tokens"] == sum(log.rows[-1]["tokens"] for log in made.logs.values())
    again = recipe.build(tmp_path / "a", "cpu")
    assert torch.equal(again.model.lm_head.weight, model.lm_head.weight)
    assert recipe.build(tmp_path / "c", "cpu", stop_after=1) is None
