"""Other people's models: ordinary Hugging Face folders, made here with random weights, are loaded,
asked in their own way, ended by their own tokens, and spelled as a well-formed turn.
"""

import json
import warnings

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.utils import logging

from o1lib.model import checkpoints, foreign
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.search.driver import search_all
from o1lib.search.sampling import greedy
from o1lib.tasks import Arithmetic, Countdown

TASK = Countdown(4)
PROBLEM = TASK.problem((4, 6, 10, 11), 24)
RIGHT = "<answer>(11-10)*4*6</answer>"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace("assistant\n", "assistant\n<think>\n")
WORDS = [
    foreign.ZERO_SHOT,
    "<think>\nOkay, 11-10 is 1, and 4*6 is 24.\n</think>\n\n",
    RIGHT,
]


def byte_tokenizer(template=None, **special):
    """Byte-level BPE, as GPT-2's and Qwen's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(WORDS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **special)
    tokenizer.chat_template = template
    return tokenizer


def base_tokenizer():
    """Pieces of words after `▁`, a <s> that begins every text, no pad: as Llama's base models."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    names = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False)
    core.train_from_iterator(WORDS, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def model_of(kind, vocabulary, **more):
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
    }
    if kind == "gpt2":
        config = GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=4, **more)
        return GPT2LMHeadModel(config).eval()
    config, cls = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[kind]
    return cls(config(vocab_size=vocabulary, **shape, **more)).eval()


def saved(folder, model, tokenizer, ends=None, **options):
    if ends is not None:
        model.generation_config.eos_token_id = ends
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def qwen(tmp_path):
    """No bos, no pad, an embedding that is larger than the vocabulary, two end tokens."""
    tokenizer = byte_tokenizer(CHATML, eos_token="<|im_end|>")
    model = model_of("qwen2", 512, tie_word_embeddings=True, eos_token_id=2, bos_token_id=None)
    return saved(tmp_path / "qwen", model, tokenizer, ends=[2, 0])


@pytest.fixture
def thinker(tmp_path):
    """A chat template whose generation prompt opens the thinking."""
    tokenizer = byte_tokenizer(THINKING, eos_token="<|im_end|>")
    return saved(tmp_path / "thinker", model_of("llama", 512, eos_token_id=2), tokenizer)


class Scripted(Policy):
    sampler = None  # the plain path, which goes through the model's own forward pass


def scripted(folder, text, end=2):
    """A policy whose model writes `text` and an end token, whatever it is asked."""
    policy = Scripted.load(folder, "cpu")
    ids, forward = (
        [*policy.tokenizer.encode(text, add_special_tokens=False), end],
        policy.model.forward,
    )
    state = {}

    def write(input_ids, past_key_values=None, **kwargs):
        out = forward(input_ids=input_ids, past_key_values=past_key_values, **kwargs)
        state["at"] = 0 if past_key_values is None else state["at"] + 1
        out.logits[:, -1] = 0
        out.logits[:, -1, ids[state["at"]]] = 1e4
        return out

    policy.model.forward = write
    return policy


def chat_ids(policy, prompt):
    message = [{"role": "user", "content": foreign.ZERO_SHOT.replace("{problem}", prompt)}]
    found = policy.tokenizer.apply_chat_template(message, add_generation_prompt=True)
    return list(found["input_ids"])


def test_no_bos_no_pad_padded_embedding(qwen):
    policy = Policy.load(qwen, "cpu")
    prompt = TASK.prompt(PROBLEM)
    assert policy.encode(prompt) == chat_ids(policy, prompt)
    assert policy.opening == ""
    assert len(policy.tokenizer) < 511
    assert policy.decode([511, 511]) == ""  # an id of the padding, which means nothing
    [[one, two]] = policy.sample([prompt], 2, max_new_tokens=5)
    assert len(one.token_ids) <= 5
    assert two.logprobs
    ours = policy.logprobs([prompt], [one.token_ids])[0]
    assert torch.allclose(torch.tensor(one.logprobs), ours, atol=1e-4)


@pytest.mark.parametrize("end", ["<|endoftext|>", None])
def test_gpt2_has_no_template_and_is_asked_in_plain_text(tmp_path, end):
    """Its published folder names the end token in config.json only."""
    tokenizer = byte_tokenizer(eos_token=end, bos_token=end)
    model = model_of("gpt2", 500, bos_token_id=0, eos_token_id=0)
    policy = Policy.load(saved(tmp_path / "gpt2", model, tokenizer), "cpu")
    asked = foreign.ZERO_SHOT.replace("{problem}", "think : make 24 from 4 6 10 11") + "\n"
    assert policy.tokenizer.decode(policy.encode("think : make 24 from 4 6 10 11")) == asked
    assert policy.stops == (0,)
    assert len(policy.sample(["make 5 from 2 3"], 2, max_new_tokens=4)[0]) == 2


def test_a_base_llama_begins_with_its_bos_and_has_no_pad(tmp_path):
    tokenizer = base_tokenizer()
    model = model_of("llama", 400, bos_token_id=1, eos_token_id=2)
    policy = Policy.load(saved(tmp_path / "base", model, tokenizer), "cpu")
    assert policy.sampler is not None  # a plain Llama gets the fast sampler
    ids = policy.encode("make 5 from 2 3", "Let us see")
    assert ids.count(1) == 1
    assert ids[0] == 1
    assert ids[-1] != 2
    words = policy.tokenizer.encode(" the answer", add_special_tokens=False)
    assert policy.spell("", words) == "the answer"
    # The blank is the model's own, neither doubled nor lost.
    assert policy.spell("this is", words) == "this is the answer"


def test_sharded_weights(tmp_path, qwen):
    model, tokenizer = checkpoints.load(qwen)
    folder = saved(tmp_path / "sharded", model, tokenizer, max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    loaded, _ = checkpoints.load(folder)
    for a, b in zip(model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)
    before = checkpoints.weights_hash(folder)
    shards = sorted(folder.glob("*.safetensors"))
    shards[0].unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoints.load(folder)
    assert len(before) == 16


def test_every_end_token_ends_a_text(qwen):
    policy = Policy.load(qwen, "cpu")
    assert policy.stops == (2, 0)
    for end in policy.stops:
        written = scripted(qwen, RIGHT, end)
        [[response]] = written.sample([TASK.prompt(PROBLEM)], temperature=0, max_new_tokens=200)
        assert response.finished
        assert response.token_ids[-1] == end
        assert response.text == RIGHT
        assert TASK.verify(PROBLEM, response.text)


def test_only_the_last_end_tokens_are_removed(qwen):
    policy = Policy.load(qwen, "cpu")
    words = policy.tokenizer.encode("is", add_special_tokens=False)
    assert policy.decode([*words, 0, *words, 1, *words, 2, 0]) == (
        "is<|endoftext|>is<|im_start|>is"
    )
    ours = Policy(build_model("nano"), build_tokenizer())
    eos = ours.tokenizer.eos_token_id
    yes = ours.tokenizer.encode("yes", add_special_tokens=False)
    assert ours.stops == (eos,)
    assert ours.decode([*yes, eos, *yes, eos]) == "yes<eos> yes"


def test_a_template_that_opens_the_thinking(thinker):
    policy = scripted(thinker, f"Okay.\n</think>\n\n{RIGHT}")
    assert policy.opening == "<think>\n"
    prompt = TASK.prompt(PROBLEM)
    whole = f"<think>\nOkay.\n</think>\n\n{RIGHT}"
    [[response]] = policy.sample([prompt], temperature=0, max_new_tokens=200)
    assert response.text == whole
    assert TASK.verify(PROBLEM, response.text)


@pytest.mark.parametrize("prefix", ["<think>\nHm. ", "<think> Hm. ", "Hm. "])
def test_a_prefix_does_not_open_it_twice(thinker, prefix):
    policy = scripted(thinker, f"Okay.\n</think>\n\n{RIGHT}")
    prompt = TASK.prompt(PROBLEM)
    asked = policy.encode(prompt, prefix)
    text = policy.tokenizer.decode(asked)
    assert text.endswith("<|im_start|>assistant\n<think>\nHm. ")
    assert asked == policy.encode(prompt, "<think>\nHm. ")
    options = {"temperature": 0, "max_new_tokens": 200}
    [[response]] = policy.sample([prompt], prefixes=[prefix], **options)
    opened = prefix if prefix.startswith("<think>") else policy.opening + prefix
    assert response.text == f"{opened}Okay.\n</think>\n\n{RIGHT}"
    assert TASK.verify(PROBLEM, response.text)


def test_the_opening_alone_as_a_prefix(thinker):
    policy = Policy.load(thinker, "cpu")
    for prefix in ("<think>", "<think>\n", "<think> "):
        assert policy.encode("x", prefix) == policy.encode("x")


def test_a_template_that_closes_the_thinking_at_once(tmp_path):
    tokenizer = byte_tokenizer(
        CHATML.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n"), eos_token="<|im_end|>"
    )
    policy = Policy(model_of("llama", 512, eos_token_id=2), tokenizer)
    assert policy.opening == "<think>\n\n</think>\n\n"
    response = policy.spell("", policy.tokenizer.encode(RIGHT, add_special_tokens=False))
    assert TASK.verify(PROBLEM, response)


def test_a_question_about_the_tag_is_no_opening(qwen):
    policy = Policy.load(qwen, "cpu", template="Answer as in <think> ... : {problem} <think>")
    assert policy.opening == ""


def test_searches_see_a_well_formed_turn(thinker):
    policy = scripted(thinker, f"Okay.\n</think>\n\n{RIGHT}")
    [result] = search_all(greedy(), policy, TASK, [PROBLEM], instruction="think")
    assert TASK.verify(PROBLEM, result.response)


@pytest.mark.parametrize("task", [TASK, Arithmetic()])
def test_a_template_of_ones_own(qwen, task):
    prompt = task.prompt(task.problems("val_inputs", 1)[0])
    policy = Policy.load(qwen, "cpu", template="Q: {problem}, {x}\n")
    text = policy.tokenizer.decode(policy.encode(prompt))
    assert text == f"<|im_start|>user\nQ: {prompt}, {{x}}\n<|im_end|>\n<|im_start|>assistant\n"
    with pytest.raises(ValueError, match=r"needs \{problem\}"):
        Policy.load(qwen, "cpu", template="no place for it")
    ours = Policy(build_model("nano"), build_tokenizer(), template="try {problem}")
    plain = Policy(build_model("nano"), build_tokenizer())
    assert ours.encode("make 5 from 2 3") == plain.encode("try make 5 from 2 3")


def test_the_default_template_says_what_counts():
    for word in ("<answer>", "</answer>", "exactly once", "{problem}"):
        assert word in foreign.ZERO_SHOT
    assert foreign.ZERO_SHOT.count("{problem}") == 1


def test_a_chat_template_that_fails_is_refused_at_once(tmp_path):
    tokenizer = byte_tokenizer("{{ raise_exception('only tools') }}", eos_token="<|im_end|>")
    folder = saved(tmp_path / "odd", model_of("llama", 512, eos_token_id=2), tokenizer)
    with pytest.raises(ValueError, match=r"chat template cannot be used.*only tools"):
        Policy.load(folder, "cpu")


def test_true_reasons_for_what_is_refused(tmp_path, qwen):
    tokenizer = byte_tokenizer(CHATML, eos_token="<|im_end|>")
    size = len(tokenizer)
    small = saved(tmp_path / "small", model_of("llama", size - 5, eos_token_id=2), tokenizer)
    with pytest.raises(ValueError, match=f"not the model's: its ids go to {size - 1}"):
        checkpoints.load(small)
    exact = saved(tmp_path / "exact", model_of("llama", size, eos_token_id=2), tokenizer)
    checkpoints.load(exact)
    endless = byte_tokenizer(CHATML)
    model = model_of("llama", size, eos_token_id=None)
    with pytest.raises(ValueError, match="names no end token"):
        checkpoints.load(saved(tmp_path / "endless", model, endless))
    (qwen / "model.safetensors").rename(qwen / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin, and only model\.safetensors"):
        checkpoints.load(qwen)
    (qwen / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match="it has no weights"):
        checkpoints.load(qwen)
    (qwen / "config.json").unlink()
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        checkpoints.load(qwen)


def test_the_older_files_of_a_tokenizer_are_read_and_none_is_refused(tmp_path):
    tokenizer = byte_tokenizer(eos_token="<|endoftext|>")
    folder = saved(tmp_path / "old", model_of("gpt2", 500, eos_token_id=0), tokenizer)
    core = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match="has no tokenizer"):
        checkpoints.load(folder)
    (folder / "vocab.json").write_text(json.dumps(core["vocab"]), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in core["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    _, loaded = checkpoints.load(folder)
    text = "make 24 from 4 6 10 11"
    assert loaded.encode(text) == tokenizer.encode(text)


def test_loading_is_silent_and_restores_what_was_set(qwen, capfd):
    logging.enable_progress_bar()
    before = logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoints.load(qwen)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()
    (qwen / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoints.load(qwen)
    assert logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == before


def test_saving_keeps_the_models_own_tokenizer(tmp_path, qwen):
    model, tokenizer = checkpoints.load(qwen)
    with pytest.raises(ValueError, match="give its tokenizer"):
        checkpoints.save(model, tmp_path / "wrong", {})
    assert not list(tmp_path.glob("wrong*"))
    policy = Policy(model, tokenizer)
    again = Policy.load(checkpoints.save(model, tmp_path / "right", {}, tokenizer), "cpu")
    assert again.stops == policy.stops == (2, 0)
    assert again.encode("make 5 from 2 3") == policy.encode("make 5 from 2 3")
    with pytest.raises(ValueError, match="not the model's"):
        checkpoints.save(
            build_model("nano", tokenizer=tokenizer), tmp_path / "x", {}, build_tokenizer()
        )


def test_a_plain_name_is_looked_for_among_ones_own_first(tmp_path, monkeypatch):
    monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("O1LIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SCALE", "ci")
    shipped = tmp_path / "data" / "checkpoints"
    mine = tmp_path / "outputs" / "ci" / "checkpoints"
    checkpoints.save(build_model("nano"), shipped / "think", {"whose": "shipped"})
    assert checkpoints.find("think") == shipped / "think"
    (mine / "think").mkdir(parents=True)  # one that is not complete does not hide the other
    assert checkpoints.find("think") == shipped / "think"
    checkpoints.save(build_model("nano"), mine / "think", {"whose": "mine"})
    assert checkpoints.find("think") == mine / "think"
    assert checkpoints.card_of("think") == {"whose": "mine"}
    assert checkpoints.find(shipped / "think") == shipped / "think"
    assert json.loads((shipped / "think" / "card.json").read_text()) == {"whose": "shipped"}
