"""What other people's models need to be asked our puzzles: the task explained, their chat template,
all of their end tokens.

Our own models know the game and have `<user>` and `<assistant>` tokens (o1lib.model.tokenizer).
Everything here is for the others, and used by `o1lib.model.policy`.
"""

from __future__ import annotations

import re

from transformers import PreTrainedModel, PreTrainedTokenizerFast

PLACEHOLDER = "{problem}"
# How a model that has never seen our puzzles is asked one. The worlds are explained in general, as
# a prompt does not say which of them it comes from.
ZERO_SHOT = """Here is a puzzle: {problem}

How to read it: the word before the colon says how to go about it. "make G from a b c" asks for \
one arithmetic expression that uses each of the numbers a, b and c exactly once, with + - * / and \
brackets, and equals G. "compute" asks for the value of the expression, as one plain number. \
"make G in jugs A B" means jugs a and b that hold A and B and are empty at first; the answer is \
the actions that leave G in one of them, such as: fill b , pour b to a , empty a.

Think as long as you like. Then give the final answer between <answer> and </answer> tags, and \
write nothing after it."""
_OPENED = re.compile(r"<think>\s*(</think>\s*)?\Z")


def check_template(template: str) -> str:
    """The template itself. Raises `ValueError` when it has no place for the problem."""
    if PLACEHOLDER not in template:
        raise ValueError(f"the prompt template needs {PLACEHOLDER} where the problem goes")
    return template


def asked_text(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    """What the model is given for a user's text: by its chat template, with the assistant's turn
    opened; without a chat template the text itself, and a new line.

    Raises `ValueError` when the chat template cannot be used.
    """
    if not tokenizer.chat_template:
        return text if text[-1:].isspace() else text + "\n"
    message = [{"role": "user", "content": text}]
    try:
        return tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # a template is a program, and may fail in any way
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(f"the model's chat template cannot be used ({reason})") from error


def asked_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Token ids of `asked_text`. A chat template writes its special tokens itself; plain text gets
    those with which the tokenizer begins a text, but not those with which it would end one.
    """
    ids = tokenizer.encode(
        asked_text(tokenizer, text), add_special_tokens=not tokenizer.chat_template
    )
    if not tokenizer.chat_template and ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()
    return ids


def opening_of(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    """What the prompt itself writes of the assistant's answer: `<think>` and white space (some
    templates close the thinking at once, too), or nothing.
    """
    found = _OPENED.search(asked_text(tokenizer, text))
    return found[0] if found else ""


def after_opening(prefix: str, opening: str) -> str:
    """A prefix without the opening, which the prompt has written already; the prefix itself where
    it does not begin with it. White space after the opening may differ.
    """
    if prefix.startswith(opening):
        return prefix[len(opening) :]
    written, here = opening.rstrip(), prefix.lstrip()
    return here[len(written) :].lstrip() if here.startswith(written) else prefix


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """The ids of all tokens that end a text: the tokenizer's, and those by which the model is
    configured to be generated from.
    """
    ids: list[int] = []
    for source in (tokenizer, getattr(model, "generation_config", None), model.config):
        found = getattr(source, "eos_token_id", None)
        ids += found if isinstance(found, list | tuple) else [found]
    size = model.config.get_text_config().vocab_size
    return tuple(dict.fromkeys(i for i in ids if i is not None and 0 <= i < size))
