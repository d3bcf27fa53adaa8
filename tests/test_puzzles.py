"""Puzzle files that people have: read as they are meant, or refused with line and reason."""

import json

import pytest

from o1lib.tasks import Countdown
from o1lib.tasks.puzzles import read_puzzles

PAIR = [((4, 6, 8, 8), 24), ((3, 5, 8), 16)]

GOOD = {
    "json lines": '{"numbers": [4, 6, 8, 8], "target": 24}\n\n{"numbers": [3, 5, 8], "target": 16}',
    "json array": '[{"numbers": [4, 6, 8, 8], "target": 24},\n'
    ' {"numbers": [3, 5, 8], "target": 16}]',
    "json, several lines": '{\n "numbers": [4, 6, 8, 8],\n "target": 24\n}\n'
    '{\n "numbers": [3, 5, 8],\n "target": 16\n}\n',
    "nums": '{"nums": [4, 6, 8, 8], "target": 24}\n{"nums": [3, 5, 8], "target": 16}\n',
    "goal": '{"numbers": [4, 6, 8, 8], "goal": 24}\n{"numbers": [3, 5, 8], "goal": 16}\n',
    "Target": '{"Numbers": [4, 6, 8, 8], "Target": 24}\n{"numbers": [3, 5, 8], " target": 16}\n',
    "both agree": '{"numbers": [4, 6, 8, 8], "goal": 24, "target": 24}\n'
    '{"numbers": [3, 5, 8], "goal": 16}\n',
    "reasoning-gym": json.dumps(
        [
            {
                "question": "Calculate 24 using the numbers 4, 6, 8, 8.",
                "answer": "(4 + 8) * (8 - 6)",
                "metadata": {"numbers": [4, 6, 8, 8], "target": 24, "expression": "..."},
            },
            {"question": "", "metadata": {"numbers": [3, 5, 8], "target": 16}},
        ]
    ),
    "csv": "numbers,target\n4 6 8 8,24\n3 5 8,16\n",
    "csv lower": "puzzles,target\n4 6 8 8,24\n3 5 8,16\n",
    "csv Target": "Puzzles,Target\n4 6 8 8,24\n3 5 8,16\n",
    "csv blank": "Puzzles, target\n4 6 8 8, 24\n3 5 8, 16\n",
    "csv goal": "Puzzles,goal\r\n4 6 8 8,24\r\n3 5 8,16\r\n",
    "csv lists": 'nums,target\n"[4, 6, 8, 8]",24\n"[3 5 8]",16\n',
    "semicolons": "Rank;Puzzles;target\n1;4 6 8 8;24\n2;3 5 8;16\n",
    "tabs": "Puzzles\ttarget\n4 6 8 8\t24\n3 5 8\t16\n",
    "blank lines": "\n\nPuzzles,target\n\n4 6 8 8,24\n,\n\n3 5 8,16\n\n",
    "quoted lines": 'note,Puzzles,target\n"two\nlines",4 6 8 8,24\n,3 5 8,16\n',
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_good_files(tmp_path, name, encoding):
    path = tmp_path / "puzzles"
    path.write_bytes(GOOD[name].encode(encoding))
    assert [(p.numbers, p.target) for p in read_puzzles(path)] == PAIR


def test_the_format_of_tree_of_thoughts(tmp_path):
    """The one format without a goal whose goal is known: Yao et al. (2023), 24.csv."""
    path = tmp_path / "24.csv"
    header = "Rank,Puzzles,AMT (s),Solved rate,1-sigma Mean (s),1-sigma STD (s)\n"
    path.write_text(header + "1,1 1 4 6,4.4,99.20%,4.67,1.48\n2,1 1 11 11,4.41,99.60%,4.68,1.45\n")
    assert [(p.numbers, p.target) for p in read_puzzles(path)] == [
        ((1, 1, 4, 6), 24),
        ((1, 1, 11, 11), 24),
    ]


def test_splits():
    assert read_puzzles("game24") == Countdown(4).problems("game24")
    assert read_puzzles("val_targets:3:7") == Countdown(3).problems("val_targets", 7)
    assert read_puzzles("game24:3:2") == Countdown(3).problems("game24", 2)
    assert read_puzzles("game24:6:2") == Countdown(6).problems("game24", 2)
    for wrong in ("val_targets:x", "val_targets:3:4:5", "val_targets:9", "game24:0", "game24:3:0",
                  "game24:6", "val_inputs:5", "no_such_file"):  # fmt: skip
        with pytest.raises(
            ValueError, match=r"a split reads|from 2 to 6|no puzzles|too large|no file"
        ):
            read_puzzles(wrong)


BAD = {
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "not json": ('{"numbers": [4, 6], "target": 24}\n{oops\n', "line 2: not JSON"),
    "no numbers": ('{"target": 24}', "line 1: the object names no numbers: expected 'numbers'"),
    "no goal": ('{"numbers": [4, 6]}', "line 1: the object names no goal: expected 'target'"),
    "misspelt goal": ('{"numbers": [4, 6], "taget": 10}', "names no goal.*got 'numbers', 'taget'"),
    "two goals": ('{"numbers": [4, 6], "target": 24, "goal": 10}', "more than one goal"),
    "goal twice": ('{"numbers": [4, 6], "target": 24, "target": 10}', "a key occurs twice"),
    "two metadata": (
        '{"numbers": [4, 6], "target": 24, "metadata": {"target": 10}}',
        "more than one goal",
    ),
    "null goal": ('{"numbers": [4, 6], "target": null}', "line 1: target must be a positive"),
    "list": ('{"numbers": [4, 6], "target": 24}\n[1, 2]', "line 2: expected an object"),
    "lists": ("[[4, 6, 8, 8], [1, 1, 4, 6]]", "line 1: expected an object .* got .4, 6, 8, 8"),
    "array, line": (
        '[\n{"numbers": [4, 6], "target": 24},\n\n{"numbers": [4, 6]}]',
        "line 4: the object names no goal",
    ),
    "array open": ('[{"numbers": [4, 6], "target": 24},\n', "line 2: not JSON"),
    "array open, no comma": ('[{"numbers": [4, 6], "target": 24}\n', "line 1: not JSON"),
    "array and more": ('[{"numbers": [4, 6], "target": 24}]\n x', "not JSON"),
    "one line": ('{"numbers": [4, 6], "target": 24} {"numbers": [4, 6], "target": 24}', "line 1"),
    "negative": (
        '{"numbers": [4, 6], "target": 24}\n\n{"numbers": [1, -2], "target": 3}',
        "line 3: every number must be a positive integer",
    ),
    "text number": ('{"numbers": ["1", 2], "target": 2}', "line 1: every number"),
    "string": ('{"numbers": "1 2 3", "target": 2}', "line 1: numbers must be a list"),
    "float goal": ('{"numbers": [1, 2], "target": 2.5}', "line 1: target must be a positive"),
    "NaN": ('{"numbers": [1, 2], "target": NaN}', "line 1: target must be a positive"),
    "too many": ('{"numbers": [1, 2, 3, 4, 5, 6, 7], "target": 9}', "line 1: a problem has 2 to 6"),
    "huge": ('{"numbers": [1, 2], "target": ' + "9" * 5000 + "}", "line 1"),
    "nested": ('{"numbers": ' + "[" * 100_000, "line 1: not JSON"),
    "csv without column": ("a,b\n1,2\n", "line 1: expected JSON lines, or a CSV header"),
    "csv of numbers": ("4 6 8 8\n1 1 4 6\n", "line 1: expected JSON lines, or a CSV header"),
    "csv only commas": (",,\n,,\n", "line 1: expected JSON lines"),
    "csv two columns": ("Puzzles,numbers\n4 6,4 6\n", "line 1: .*one only"),
    "csv two goals": ("Puzzles,target,Goal\n4 6,24,24\n", "line 1: more than one column"),
    "csv misspelt": ("Puzzles,Targets\n4 6,10\n", "line 1: is 'Targets' the goal"),
    "csv misspelt too": ("Puzzles,the taget\n4 6,10\n", "line 1: is 'the taget' the goal"),
    "csv no goal": ("numbers\n4 6\n", "line 1: no column names the goal"),
    "csv empty goal": ("Puzzles,target\n4 6 8 8,24\n4 6,\n", "line 3: 'target' is empty"),
    "csv blank goal": ("Puzzles,goal\n4 6, \n", "line 2: 'goal' is empty"),
    "csv short row": ("Puzzles,target\n4 6\n", "line 2: the row ends before the column 'target'"),
    "csv short row of ;": ("target;Puzzles\n24\n", "line 2: the row ends before .* 'Puzzles'"),
    "csv long row": ("Puzzles,target\n4,6,24\n", "line 2: the row has 3 cells, the header 2"),
    "csv two goals in a cell": ("Puzzles,target\n4 6,24 10\n", "line 2: 'target' must be one num"),
    "csv bad line": ("Puzzles\n1 2 3 4\n1 x 3\n", "line 3: 'Puzzles' must be numbers"),
    "csv point": ("Puzzles,target\n4 6,24.0\n", "line 2: 'target' must be numbers"),
    "csv thousands": ('Puzzles,target\n"1,234 5",24\n', "line 2: 'Puzzles' must be numbers"),
    "csv after blank lines": ("\nPuzzles\n\n\n1 2 3 4\n\n1 x 3\n", "line 7: 'Puzzles' must be"),
    "csv after quoted lines": ('a,Puzzles\n"x\ny\n\nz",4 6\n1,x\n', "line 6: 'Puzzles' must be"),
    "csv empty": ("Puzzles\n", "has no puzzles"),
    "json empty": ("[]", "has no puzzles"),
    "csv open quote": ('Puzzles\n"3 5 8\n1 2 3\n', "line 2: not CSV"),
    "csv huge cell": ("Puzzles\n" + "1" * 200_000, "line 2: not CSV"),
    "csv long number": ("Puzzles\n" + "1" * 19 + " 2\n", "line 2: 'Puzzles' must be numbers"),
    "impossible": (
        '{"numbers": [4, 6], "target": 24}\n{"numbers": [1, 1, 1], "target": 24}',
        "line 2: the puzzle is impossible: nothing makes 24 from 1 1 1",
    ),
    "NUL": ("Puzzles\n4 6\x00\n", "not a text file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_which_line(tmp_path, name):
    content, reason = BAD[name]
    path = tmp_path / "bad"
    path.write_text(content, encoding="utf-8", newline="")
    with pytest.raises(ValueError, match=reason) as caught:
        read_puzzles(path)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00\x80" * 10 + b"\x00",
        b"\x80\x81\x82",
        "Puzzles\n4 6\n".encode("utf-16-le"),
        bytes(99),
    ],
)
def test_binary_files(tmp_path, content):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a text file"):
        read_puzzles(path)
