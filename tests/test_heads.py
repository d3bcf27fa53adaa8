"""A value head against its network's own forward pass, however responses share their beginnings."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from o1lib.model.decoder import LlamaDecoder
from o1lib.model.heads import ValueHead
from o1lib.model.network import build_model
from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer

PROMPTS = ["solve : make 5 from 2 3", "think : make 24 from 4 6 8 8", "solve : compute 3 + 4"]
WORDS = "2 3 + = 5 left ; no yes dead".split()


@pytest.fixture(scope="module")
def head():
    head = ValueHead.from_policy(Policy(build_model("nano"), build_tokenizer(), bf16=False))
    torch.manual_seed(0)
    with torch.no_grad():
        head.model.score.weight.normal_(0, 0.3)
        head.model.score.bias.fill_(0.2)
    return head


def truth(head, prompt, response):
    policy = Policy(build_model("nano"), head.tokenizer, bf16=False)
    start, ids = len(policy.encode(prompt)), policy.encode(prompt, response)
    with torch.inference_mode():
        return head.model(torch.tensor([ids])).logits[0, start:, 0].sigmoid().tolist()


@given(
    st.lists(
        st.tuples(st.sampled_from(PROMPTS), st.lists(st.sampled_from(WORDS), max_size=8)),
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_mix_of_prompts_and_beginnings(head, asked):
    responses = [" ".join(words) for _, words in asked]
    found = head.score([prompt for prompt, _ in asked], responses)
    assert len(found) == len(asked)
    for (prompt, _), response, numbers in zip(asked, responses, found, strict=True):
        assert numbers == pytest.approx(truth(head, prompt, response), abs=1e-5)
    ids = [tuple(head.tokenizer.encode(r, add_special_tokens=False)) for r in responses]
    again = head.score([prompt for prompt, _ in asked], ids)
    for one, other in zip(found, again, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_refresh_and_the_plain_path(head, monkeypatch):
    before = head.score(PROMPTS[:1], ["2 3 = 5"])[0]
    with torch.no_grad():
        head.model.score.bias.add_(1.0)
    head.refresh()
    after = head.score(PROMPTS[:1], ["2 3 = 5"])[0]
    assert all(b < a for b, a in zip(before, after, strict=True))
    monkeypatch.setattr(LlamaDecoder, "supports", staticmethod(lambda model: False))
    assert head.score(PROMPTS[:1], ["2 3 = 5"])[0] == pytest.approx(after, abs=1e-5)
    with torch.no_grad():
        head.model.score.bias.sub_(1.0)
    head.refresh()
