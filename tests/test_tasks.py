"""Problems, splits and the step interface of both tasks."""

import pytest

from o1lib.tasks import HELD_OUT_TARGETS, Arithmetic, Countdown
from o1lib.tasks.base import TEST_TARGETS, VAL_TARGETS, StepTask, Task, input_class, refuse_held_out


@pytest.mark.parametrize("task", [Countdown(3), Arithmetic(4)])
def test_protocols(task):
    assert isinstance(task, Task)
    assert isinstance(task, StepTask)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_training_problems_are_train_class_solvable_and_never_held_out(n):
    task = Countdown(n)
    problems = task.problems("train", 200)
    assert problems == task.problems("train", 250)[:200]
    assert problems != task.problems("train", 200, seed=1)
    for problem in problems:
        assert problem.target not in HELD_OUT_TARGETS
        assert input_class(" ".join(map(str, problem.numbers))) == "train"
        assert task.solvable(problem)


def test_splits_do_not_meet():
    task = Countdown(3)
    seen = {(p.numbers, p.target) for p in task.problems("train", 5000)}
    inputs = {numbers for numbers, _ in seen}
    for split in ("val_inputs", "test_inputs"):
        assert not inputs & {p.numbers for p in task.problems(split)}
    assert {p.target for p in task.problems("val_targets")} <= set(VAL_TARGETS)
    assert {p.target for p in task.problems("test_targets")} <= set(TEST_TARGETS)
    assert {p.target for p in task.problems("game24")} == {24}


def test_finite_splits_are_prefixes():
    task = Countdown(4)
    assert task.problems("val_targets", 10, seed=3) == task.problems("val_targets", 50, seed=3)[:10]


@pytest.mark.parametrize(
    ("numbers", "target", "reason"),
    [
        ([1, 2, 0], 24, "positive integer"),
        ([1, -2, 3], 24, "positive integer"),
        ([1, 2.0, 3], 24, "positive integer"),
        ([1, True, 3], 24, "positive integer"),
        ([1, 2, 3], 0, "target must be a positive integer"),
        ([1, 2, 3], "24", "target must be a positive integer"),
        ([1], 24, "2 to 6 numbers"),
        ([1] * 7, 24, "2 to 6 numbers"),
        ("1 2 3", 24, "list of positive integers"),
        (None, 24, "list of positive integers"),
        ([10**30, 2, 3], 24, "below"),
    ],
)
def test_malformed_problems_are_refused(numbers, target, reason):
    with pytest.raises(ValueError, match=reason):
        Countdown().problem(numbers, target)


@pytest.mark.parametrize(
    "arguments", [{"n_numbers": 7}, {"n_numbers": "4"}, {"low": 0}, {"high": 0}, {"max_target": -3}]
)
def test_malformed_tasks_are_refused(arguments):
    with pytest.raises(ValueError, match="must be an integer"):
        Countdown(**arguments)


def test_own_problems_may_leave_the_training_range():
    task = Countdown()
    problem = task.problem([99, 1, 1], 100)
    assert task.verify_answer(problem, "99 + 1 * 1")


def test_steps_read_back():
    task = Countdown(4)
    for problem in task.problems("val_inputs", 20):
        for step in task.legal_steps(problem):
            assert task.parse_step(problem, step.text) == step
            assert task.parse_step(problem, step.equation) == step
            assert task.apply(problem, step).numbers == step.rest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("4 + 6 = 11", "4 [+] 6 is 10, not 11"),
        ("4 - 6 = 2", "not a nonnegative integer"),
        ("6 / 4 = 1", "not a nonnegative integer"),
        ("6 + 6 = 12", "6 is not available"),
        ("4 + 6 = 10 left 4 8 8", "numbers left are wrong"),
        ("4 plus 6", "a step reads"),
        ("４ + 6 = 10", "a step reads"),
        ("9" * 1000, "a step reads"),
        (None, "a step reads"),
    ],
)
def test_bad_steps_are_refused(text, reason):
    task = Countdown(4)
    with pytest.raises(ValueError, match=reason):
        task.parse_step(task.problem([4, 6, 8, 8]), text)


def test_illegal_step_cannot_be_applied():
    task = Countdown(4)
    a, b = task.problem([4, 6, 8, 8]), task.problem([1, 2, 3, 4])
    with pytest.raises(ValueError, match="not a legal step"):
        task.apply(b, task.legal_steps(a)[0])


def test_held_out_goals():
    for goal in HELD_OUT_TARGETS:
        with pytest.raises(ValueError, match="held out"):
            refuse_held_out(goal)
    refuse_held_out(25)


class TestArithmetic:
    task = Arithmetic(5)

    def test_every_order_of_reduction_gives_the_value(self):
        """The value by our parser, and by every sequence of single steps."""

        def ends(state):
            if self.task.is_solved(state):
                return {int(state.text)}
            return set().union(
                *(ends(self.task.apply(state, s)) for s in self.task.legal_steps(state))
            )

        for problem in self.task.problems("train", 30):
            assert ends(problem) == {self.task.value(problem)}
            assert self.task.verify(problem, self.task.solution_text(problem))

    def test_steps_read_back(self):
        for problem in self.task.problems("val_inputs", 10):
            for step in self.task.legal_steps(problem):
                assert self.task.parse_step(problem, step.text) == step

    def test_splits_do_not_meet(self):
        splits = [
            {p.text for p in self.task.problems(s, 300)}
            for s in ("train", "val_inputs", "test_inputs")
        ]
        assert not splits[0] & splits[1]
        assert not splits[0] & splits[2]
        assert not splits[1] & splits[2]

    @pytest.mark.parametrize("answer", ["7 + 0", "", "07", "-7", "7.0", "8"])
    def test_wrong_answers(self, answer):
        problem = self.task.problem("( 3 + 4 ) * 1")
        assert self.task.verify(problem, "<answer> 7 </answer>")
        assert not self.task.verify(problem, f"<answer> {answer} </answer>")

    @pytest.mark.parametrize(
        "expression", ["3 - 4", "1 / 0", "1 / 2", "2 +", "( 1 - 2 ) + 3", "1 + 2 + 3"]
    )
    def test_malformed_problems_are_refused(self, expression):
        with pytest.raises(ValueError, match=r".+"):
            self.task.problem(expression)


@pytest.mark.parametrize(
    "numbers", [list, None, "358", b"358", bytearray(b"358"), {3, 5}, [-(10**5000), 2]]
)
def test_what_is_no_list_of_numbers_is_refused(numbers):
    with pytest.raises(ValueError, match="must be"):
        Countdown().problem(numbers, 24)


@pytest.mark.parametrize("n", [-1, 1.5, "3"])
def test_a_number_of_problems(n):
    with pytest.raises(ValueError, match="n must be"):
        Countdown().problems("game24", n)
