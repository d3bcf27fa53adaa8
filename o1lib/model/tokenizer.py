"""The reasoning vocabulary: one token per word and per number, as a real `PreTrainedTokenizerFast`.

A word carries its leading space (`▁try`). Numbers up to 999 are words of their own; larger ones are
spelled, and their first digit (`▁1`) differs from a following digit (`0`), so the texts `1 1200`
and `11 200` differ. Operators and brackets are spaced out
first, so `(4+6)*2` reads like `( 4 + 6 ) * 2`. A word outside the vocabulary becomes `<unk>`.

Numbers as words make the equality test of a chain ("is this value among those?") a comparison of
two tokens; with `digits=True` all numbers are spelled, which the comparison in notebook 01, section
3, shows to be learned more slowly.
"""

from __future__ import annotations

from functools import lru_cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from o1lib.model.requests import Prefix

LARGEST_WORD = 999  # numbers up to here are one token
SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>", "<user>", "<assistant>")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
SYMBOLS = tuple("+-*/()=:;,.?%")  # "%" is the fraction bar: it differs from division
# The words of the traces, the instructions and the small corpus. Every corpus part draws on these
# lists (o1lib.policy.corpus).
TRACE_WORDS = tuple(
    (
        "make from use for try get rest keep want join no yes dead so left wait then answer "
        "solve think judge propose revise gives not attempt alive check list has compute then"
    ).split()
)
LANGUAGE_WORDS = tuple(
    (
        "the a is are and or if all some every likes like sees see big small red green blue "
        "old young cat cats dog dogs bird birds horse horses child children near behind that "
        "who runs run sleeps sleep sings sing true false more less than equal which odd even "
        "fill empty of pour next before after plus times minus to in jugs b what "
        "where lives live eats eat house tree river hill sea fish grass bread milk fruit anna "
        "ben carl dora emil fay gus hana c two three therefore"
    ).split()
)


@lru_cache
def build_tokenizer(digits: bool = False) -> PreTrainedTokenizerFast:
    """The tokenizer of every checkpoint (about 1,150 tokens), with a chat template for user and
    assistant turns.
    """
    vocabulary = [*SPECIAL]
    vocabulary += [f"▁{number}" for number in range(10 if digits else LARGEST_WORD + 1)] + list(
        "0123456789"
    )
    for word in (*TAGS, *SYMBOLS, *TRACE_WORDS, *LANGUAGE_WORDS):
        if f"▁{word}" not in vocabulary:
            vocabulary.append(f"▁{word}")
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(symbol, f" {symbol} ") for symbol in "+-*()=:;,?%"]
        # A slash is spaced unless it closes a tag; tags themselves are spaced as wholes.
        + [normalizers.Replace(Regex(r"(?<!<)/"), " / ")]
        + [normalizers.Replace(tag, f" {tag} ") for tag in TAGS]
        + [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True),
            pre_tokenizers.Split(
                Regex("▁?[0-9]" if digits else "▁[0-9]{1,3}(?![0-9])|▁?[0-9]"), "isolated"
            ),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=["<user>", "<assistant>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = (
        "{{ bos_token }}{% for message in messages %}"
        "<{{ message['role'] }}> {{ message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    return fast


@lru_cache(maxsize=1 << 16)
def encode_text(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[int, ...]:
    """Token ids of a piece of text. Searches meet the same pieces again and again, so they are
    remembered.
    """
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def prefix_ids(tokenizer: PreTrainedTokenizerFast, text: Prefix) -> tuple[int, ...]:
    """Token ids of a piece of a response, as they are where they are given."""
    return encode_text(tokenizer, text) if isinstance(text, str) else tuple(text)


def encode_prompt(tokenizer: PreTrainedTokenizerFast, prompt: str, prefix: str = "") -> list[int]:
    """Token ids of a user's prompt, with the assistant's turn opened and begun with `prefix`."""
    user, assistant = encode_text(tokenizer, "<user>"), encode_text(tokenizer, "<assistant>")
    asked, begun = encode_text(tokenizer, prompt), encode_text(tokenizer, prefix)
    return [tokenizer.bos_token_id, *user, *asked, *assistant, *begun]
