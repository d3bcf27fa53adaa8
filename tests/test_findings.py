"""Reported numbers and findings: silent for the reader or a sentence, checked by the runner."""

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbconvert import HTMLExporter

from o1lib.lab import results
from o1lib.lab.findings import Finding, finding, findings
from o1lib.lab.results import MIME, accept, check_numbers, load_expected, report, reported


def executed(call) -> dict:
    """A notebook whose one cell made this call."""
    InteractiveShell.instance()
    with capture_output() as captured:
        call()
    outputs = [
        nbformat.v4.new_output("display_data", output.data, metadata=output.metadata)
        for output in captured.outputs
    ]
    assert captured.stdout == ""
    cell = nbformat.v4.new_code_cell("x", outputs=outputs)
    return nbformat.v4.new_notebook(cells=[cell])


def held(value, scale="laptop", **bounds):
    [found] = findings(executed(lambda: finding("It holds", value, scale=scale, **bounds)))
    return found


def test_report_is_silent_and_readable():
    notebook = executed(lambda: report("pass@1, loop", 0.51239))
    assert reported(notebook) == {"pass@1, loop": 0.51239}
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "pass@1, loop" not in page
    assert "0.512" not in page


def test_findings_check_sign_and_order():
    assert held(0.2, at_least=0.1).ok
    assert not held(-0.2, at_least=0.1).ok  # within a tolerance of 0.3, of the other sign
    assert held(0.5, above=0.4, at_most=0.6).ok
    assert not held(0.4, above=0.4).ok
    assert not held(0.5, below=0.4).ok
    assert not held(float("nan"), above=0.0).ok


def test_a_scale_that_cannot_show_it_says_so():
    small = held(-0.2, scale="ci", at_least=0.1, holds_at=("laptop",))
    assert small.ok
    assert "At this scale (ci) this cannot be shown" in small.text()
    large = held(-0.2, scale="laptop", at_least=0.1, holds_at=("laptop",))
    assert not large.ok
    assert "did **not** hold" in large.text()
    assert "-0.2, at least 0.1" in large.text()
    assert "**It holds**: 0.2, at least 0.1" in held(0.2, at_least=0.1).text()


def test_a_finding_is_shown_as_a_sentence():
    notebook = executed(lambda: finding("It holds", 0.2, above=0.1, scale="ci"))
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "<strong>It holds</strong>: 0.2, above 0.1" in page


def test_findings_that_cannot_fail_are_refused():
    with pytest.raises(ValueError, match="nothing could contradict it"):
        finding("It holds", 1.0, scale="ci")
    with pytest.raises(ValueError, match="unknown scale"):
        finding("It holds", 1.0, scale="ci", at_least=0, holds_at=("moon",))


def test_a_finding_survives_the_file():
    found = held(0.2, above=0.1, below=0.3)
    bounds = (("above", 0.1), ("below", 0.3))
    assert found == Finding("It holds", 0.2, "laptop", ("ci", "laptop", "gpu"), bounds)


def test_numbers_are_checked_against_what_is_expected():
    rows = check_numbers(
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
