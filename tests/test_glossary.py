"""The glossary: an anchor a word, and no link that leads nowhere."""

import json
import re
from itertools import chain

import pytest

from o1lib.lab.paths import ROOT

GLOSSARY = (ROOT / "notebooks" / "glossary.md").read_text(encoding="utf-8")
ANCHORS = re.findall(r'<a id="([a-z0-9-]+)"></a>\*\*', GLOSSARY)
FOLDERS = (ROOT / "notebooks", ROOT / "notebooks" / "solutions")
NOTEBOOKS = sorted(chain.from_iterable(folder.glob("*.ipynb") for folder in FOLDERS))


def test_every_word_has_one_anchor_in_order():
    assert len(ANCHORS) == GLOSSARY.count("<a id=") == len(set(ANCHORS))
    assert sorted(ANCHORS) == ANCHORS
    assert set(re.findall(r"\]\(#([^)]*)\)", GLOSSARY)) <= set(ANCHORS)


@pytest.mark.parametrize(
    "word",
    "token weights policy greedy temperature held-out seed nats log-probability entropy value "
    "advantage value-head backbone auc puct left-out canonical-text generator oracle alive split "
    "pass-at-k best-of-n kl baseline ratio clip group rollout budget guidance expectation "
    "gradient".split(),
)
def test_words_that_stumbled_readers_are_explained(word):
    assert word in ANCHORS


def test_entries_are_short():
    for entry in re.findall(r"<a id=.*", GLOSSARY):
        assert 40 < len(entry) < 600


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_links_into_the_glossary_lead_somewhere(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells)
    assert set(re.findall(r"glossary\.md#([^)\s\"]*)", text)) <= set(ANCHORS)
