"""The results of a stopped evaluation: kept, resumed exactly, never mixed, never written by two."""

import json
import subprocess
import sys

import pytest

from o1lib.lab.files import exclusive, write_text
from o1lib.lab.kept import Kept

SETTINGS = {"search": "greedy", "puzzles": "abc", "seed": 0}


def stopped(out, upto=2):
    with pytest.raises(KeyboardInterrupt), Kept(out, SETTINGS) as kept:  # noqa: PT012
        for index in range(upto):
            kept.add(index * 2, {"correct": index})
        raise KeyboardInterrupt
    return kept


def test_what_was_finished_is_there_again(tmp_path):
    kept = stopped(tmp_path / "r.json")
    assert not kept.out.exists()
    with Kept(tmp_path / "r.json", SETTINGS, resume=True) as kept:
        assert kept.done == {0: {"correct": 0}, 2: {"correct": 1}}
        kept.add(1, {"correct": 5})
        kept.finish({"n": 3})
    assert json.loads(kept.out.read_text()) == {"n": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_half_written_line_is_not_a_result(tmp_path):
    kept = stopped(tmp_path / "r.json")
    with kept.lines.open("a") as file:
        file.write('{"index": 4, "resu')
    with Kept(tmp_path / "r.json", SETTINGS, resume=True) as kept:
        assert set(kept.done) == {0, 2}
        kept.add(4, {"correct": 1})
    with Kept(tmp_path / "r.json", SETTINGS, resume=True) as kept:
        assert set(kept.done) == {0, 2, 4}
    kept.lines.write_text('{"evalu')  # killed at the very first line
    with Kept(tmp_path / "r.json", SETTINGS, resume=True) as kept:
        assert kept.done == {}


def test_another_evaluation_is_refused_with_what_differs(tmp_path):
    kept = stopped(tmp_path / "r.json")
    before = kept.lines.read_text()
    other = SETTINGS | {"seed": 1, "search": "beam"}
    with pytest.raises(ValueError, match=r"differs in search, seed\)"):
        Kept(tmp_path / "r.json", other, resume=True).__enter__()
    with pytest.raises(ValueError, match="go on with it by --resume"):
        Kept(tmp_path / "r.json", SETTINGS).__enter__()
    kept.lines.write_text("{oops}\n")
    with pytest.raises(ValueError, match="not what an evaluation wrote"):
        Kept(tmp_path / "r.json", SETTINGS, resume=True).__enter__()
    kept.lines.write_text(before)
    with Kept(tmp_path / "r.json", SETTINGS, resume=True):  # every refusal let go of the lock
        pass


def test_a_second_process_is_refused(tmp_path):
    with (
        Kept(tmp_path / "r.json", SETTINGS) as kept,
        pytest.raises(ValueError, match="another run is writing"),
        Kept(tmp_path / "r.json", SETTINGS, resume=True),
    ):
        pass
    assert not kept.lines.exists()


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    held = (
        "import os, sys\nfrom o1lib.lab.files import exclusive\n"
        "with exclusive(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", held, tmp_path / "x"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="another run is writing"), exclusive(tmp_path / "x"):
        pass
    child.kill()
    child.communicate()
    with exclusive(tmp_path / "x"):
        pass


def test_places_that_cannot_be_written(tmp_path):
    for out, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "r.json", "its folder does not exist"),
    ):
        with pytest.raises(ValueError, match=reason):
            Kept(out, SETTINGS)
    puzzles = tmp_path / "p.jsonl"
    with pytest.raises(ValueError, match="is read by this evaluation"):
        Kept(puzzles, SETTINGS, inputs=[puzzles])


def test_text_is_replaced_at_once(tmp_path):
    path = tmp_path / "a" / "t.txt"
    write_text(path, "grün\n")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_bytes() == "grün\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["t.txt"]
