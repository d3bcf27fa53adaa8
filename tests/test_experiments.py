"""Experiments: a tidy table that only grows, resumed run by run, by one process at a time."""

import pytest

from o1lib.lab.experiments import (
    COLUMNS,
    Experiment,
    experiment_file,
    of_seeds,
    read_experiment,
    run_experiment,
)
from o1lib.lab.files import exclusive
from o1lib.lab.paths import code_version
from o1lib.recipes.experiments import EXPERIMENTS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("O1LIB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("O1LIB_DATA", str(tmp_path / "data"))


def counting(calls, dies_at=None):
    def arm(name):
        def run(seed, folder):
            assert folder.is_dir()
            calls.append((name, seed))
            for step in (1, 2):
                if (name, seed) == dies_at and step == 2:
                    raise KeyboardInterrupt
                yield {"step": step, "metric": "m", "value": seed + step / 3, "tokens": step}

        return run

    return Experiment("count", {"a": arm("a"), "b": arm("b")}, seeds=2)


def test_one_tidy_table():
    path = run_experiment(counting([]), progress=False)
    rows = read_experiment("count")
    assert path == experiment_file("count")
    assert [(r["arm"], r["seed"], r["step"]) for r in rows] == [
        (arm, seed, step) for seed in (0, 1) for arm in "ab" for step in (1, 2)
    ]
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert rows[0]["value"] == pytest.approx(1 / 3, rel=1e-5)
    assert {r["code"] for r in rows} == {code_version()}
    assert all(r["seconds"] >= 0 and "threads" in r["machine"] for r in rows)


def test_a_killed_run_is_made_again_and_finished_ones_are_kept():
    calls = []
    with pytest.raises(KeyboardInterrupt):
        run_experiment(counting(calls, dies_at=("b", 0)), progress=False)
    assert {(r["arm"], r["seed"]) for r in read_experiment("count")} == {("a", 0)}
    run_experiment(counting(calls), progress=False)
    assert calls == [("a", 0), ("b", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert len(read_experiment("count")) == 8


def test_a_part_adds_to_the_table():
    calls = []
    run_experiment(counting(calls), arms=["b"], seeds=1, progress=False)
    run_experiment(counting(calls), arms=["b"], seeds=3, progress=False)
    assert calls == [("b", 0), ("b", 1), ("b", 2)]
    run_experiment(counting(calls), progress=False)
    assert calls[3:] == [("a", 0), ("a", 1)]


def test_a_second_process_is_refused(tmp_path):
    table = tmp_path / "t.csv"
    with exclusive(table), pytest.raises(ValueError, match="another run is writing"):
        run_experiment(counting([]), out=table, progress=False)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"metric": "m"}, "a row has metric and value"),
        ({"metric": "m", "value": 1.0, "extra": 2}, "a row has metric and value"),
        ({"metric": "m", "value": float("nan")}, "is nan"),
        (None, "measures nothing"),
    ],
)
def test_what_is_no_measurement_is_refused(row, reason):
    wrong = Experiment("wrong", {"a": lambda seed, folder: [] if row is None else [row]})
    with pytest.raises(ValueError, match=reason):
        run_experiment(wrong, progress=False)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no arm 'c'; choose from a, b"):
        run_experiment(counting([]), arms=["c"], progress=False)
    with pytest.raises(ValueError, match="at least one seed"):
        run_experiment(counting([]), seeds=0, progress=False)
    with pytest.raises(ValueError, match="make it by o1lib experiment nothing"):
        read_experiment("nothing")


def test_the_registered_experiments_are_named_and_explained():
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name
        assert experiment.doc.endswith((".", "?"))
        assert experiment.arms


def test_exploring_pays():
    """The smallest experiment has a known answer: the best lever pays 0.7, the first 0.3."""
    run_experiment(EXPERIMENTS["bandit"], progress=False)
    last = [r for r in read_experiment("bandit") if r["step"] == 1000]
    mean = {a: sum(r["value"] for r in last if r["arm"] == a) / 20 for a in ("greedy", "explore")}
    assert mean["greedy"] == pytest.approx(0.3, abs=0.05)  # the first lever that pays stays best
    assert 0.6 < mean["explore"] < 0.7


def test_one_number_a_seed_is_what_its_own_run_measured_last():
    """Runs may end at different steps: a seed that stopped early keeps its own last number."""
    rows = [
        {"arm": "a", "seed": seed, "step": step, "metric": "x", "value": 10.0 * seed + step}
        for seed, steps in ((1, (0, 5)), (0, (5, 0, 9)), (2, (3,)))
        for step in steps
    ]
    rows.append({"arm": "b", "seed": 0, "step": 99, "metric": "x", "value": -1.0})
    assert list(of_seeds(rows, "a", "x")) == [9.0, 15.0, 23.0]
    assert list(of_seeds(rows, "a", "x", first=True)) == [0.0, 10.0, 23.0]
    with pytest.raises(ValueError, match="no rows of 'y' for the arm 'a'"):
        of_seeds(rows, "a", "y")
