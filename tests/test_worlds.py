"""The three worlds, held to the same truths: steps, answers, oracle, splits and texts."""

import random
from itertools import islice

import pytest

from o1lib.model.policy import Policy
from o1lib.model.tokenizer import build_tokenizer
from o1lib.tasks import Arithmetic, Countdown, Jugs, Verdict
from o1lib.tasks.base import INPUT_SPLITS, SPLITS, StepTask, Task
from o1lib.tasks.space import Space

WORLDS = [
    Countdown(3),
    Countdown(4),
    Countdown(5),
    Countdown(6),
    Arithmetic(4),
    Arithmetic(6),
    Jugs(2),
    Jugs(3, high=6),
]
SMALL = [Countdown(3), Arithmetic(4), Jugs(2, high=7), Jugs(3, high=4)]
by_name = pytest.mark.parametrize("task", WORLDS, ids=repr)
by_small_name = pytest.mark.parametrize("task", SMALL, ids=repr)


def walk(task, problem, rng, most=8):
    """States along random legal steps, with the steps."""
    state, steps = task.initial(problem), []
    yield state, tuple(steps)
    while task.legal_steps(state) and len(steps) < most:
        steps.append(rng.choice(task.legal_steps(state)))
        state = task.apply(state, steps[-1])
        yield state, tuple(steps)


@by_name
def test_protocols(task):
    assert isinstance(task, Task)
    assert isinstance(task, StepTask)


@by_name
def test_problems_are_deterministic_prefixes(task):
    problems = task.problems("train", 12, seed=3)
    assert problems == task.problems("train", 30, seed=3)[:12]
    assert problems == [task.train_problem(index, 3) for index in range(12)]
    assert problems != task.problems("train", 12, seed=4)
    for split in ("val_inputs", "test_inputs"):
        assert task.problems(split, 5, seed=1) == task.problems(split, 9, seed=1)[:5]
    assert all(task.solvable(problem) and not task.is_solved(problem) for problem in problems)


@by_name
def test_splits_do_not_meet(task):
    def inputs(split):
        keys = {Countdown: "numbers", Arithmetic: "text", Jugs: "capacities"}
        return {getattr(p, keys[type(task)]) for p in task.problems(split, 60)}

    for one, other in (("train", "val_inputs"), ("train", "test_inputs"),
                       ("val_inputs", "test_inputs")):  # fmt: skip
        assert not inputs(one) & inputs(other)


@pytest.mark.parametrize("task", [Arithmetic(4), Jugs(2)], ids=repr)
def test_splits_by_goal_are_refused(task):
    for split in SPLITS:
        if split not in INPUT_SPLITS:
            with pytest.raises(ValueError, match=f"no goals, so it has no {split}: choose from"):
                task.problems(split, 3)
    with pytest.raises(ValueError, match="unknown split 'x'"):
        task.problems("x", 3)
    for n in (-1, 2.0, True):
        with pytest.raises(ValueError, match="n must be"):
            task.problems("val_inputs", n)
    with pytest.raises(ValueError, match="endless"):
        task.problems("train")


@by_name
def test_steps_round_trip(task):
    """The text of a step reads back as that step, and nothing but legal steps reads."""
    rng = random.Random(0)
    for problem in task.problems("train", 6):
        for state, _ in walk(task, problem, rng):
            steps = task.legal_steps(state)
            assert len({step.text for step in steps}) == len(set(steps)) == len(steps)
            for step in steps:
                assert task.parse_step(state, step.text) == step
                after = task.apply(state, step)
                assert after != state
                assert hash(after) == hash(task.apply(state, step))
                # What a step leaves is written at its end: it restates the state.
                left = step.text.split(" left ")[1]
                assert left in {str(after).split(" from ")[-1], getattr(after, "text", ""),
                                " ".join(map(str, getattr(after, "amounts", ())))}  # fmt: skip
            for bad in ("", "x", "left", None, "9 " * 300, "4 + 4", " ; "):
                with pytest.raises(ValueError, match=r"\w"):
                    task.parse_step(state, bad)


@by_name
def test_a_step_of_another_state_cannot_be_applied(task):
    one, other = task.problems("train", 2)
    steps = [s for s in task.legal_steps(one) if s not in task.legal_steps(other)]
    for step in steps:
        with pytest.raises(ValueError, match="is not a legal step"):
            task.apply(other, step)


@by_name
def test_the_distance_falls_by_one_along_a_shortest_path(task):
    for problem in task.problems("train", 4):
        for steps in islice(task.solutions(problem), 3):
            state, distance = problem, task.distance(problem)
            assert len(steps) == distance
            for step in steps:
                assert not task.is_solved(state)
                state = task.apply(state, step)
                distance -= 1
                assert task.solvable(state)
                assert task.distance(state) == distance
            assert task.is_solved(state)


@by_small_name
def test_the_oracle_equals_brute_force(task):
    """Solvable, distance and number of shortest ways, against a plain search forward."""

    def truth(state):
        layer, seen, depth = {state: 1}, {state}, 0
        while layer:
            won = sum(n for s, n in layer.items() if task.is_solved(s))
            if won:
                return depth, won
            below = {}
            for s, n in layer.items():
                for step in task.legal_steps(s):
                    after = task.apply(s, step)
                    if after not in seen:
                        below[after] = below.get(after, 0) + n
            seen |= set(below)
            layer, depth = below, depth + 1
        return None, 0

    rng, dead = random.Random(1), 0
    for problem in task.problems("train", 12):
        for state, _ in walk(task, problem, rng, most=5):
            distance, ways = truth(state)
            assert task.distance(state) == distance
            assert task.solvable(state) == (distance is not None)
            assert task.count_solutions(state) == ways
            found = list(islice(task.solutions(state), 3000))
            assert len(found) == len(set(found)) == min(ways, 3000)
            dead += distance is None
    assert (dead > 0) == isinstance(task, Countdown)  # the only world with dead ends


@by_name
def test_an_answer_is_right_exactly_when_its_steps_reach_the_goal(task):
    rng, right = random.Random(2), 0
    for problem in task.problems("train", 8):
        for state, steps in walk(task, problem, rng, most=25):
            response = f"<think> hm </think> <answer> {task.answer(problem, steps)} </answer>"
            verdict = task.verify(problem, response)
            assert isinstance(verdict, Verdict)
            assert bool(verdict) == task.is_solved(state), (problem, steps, verdict)
            assert bool(task.verify(problem, response, "lenient")) == bool(verdict)
            right += bool(verdict)
        best = next(task.solutions(problem))
        assert task.verify(problem, f"<answer> {task.answer(problem, best)} </answer>")
    assert right or not isinstance(task, Arithmetic)


@by_name
def test_space_round_trips(task):
    rng, tokenizer = random.Random(3), build_tokenizer()
    for problem in task.problems("val_inputs", 4):
        space = Space(task, problem)
        node, nodes, steps = space.root, [space.root], next(task.solutions(problem))
        for _ in range(2):  # a shortest solution, then a random walk
            for step in steps:
                text = space.continuation(node, step)
                extended = space.extend(node, text)
                node = space.child(node, step)
                nodes.append(node)
                assert extended == node
            assert space.taken(node) == tuple(steps)
            assert space.read(node.prefix) == nodes
            if space.complete(node):
                response = space.response(node)
                assert bool(task.verify(problem, response)) == task.is_solved(node.state)
                assert "<unk>" not in tokenizer.tokenize(f"{space.prompt} {response}")
                again = tokenizer.decode(tokenizer.encode(response, add_special_tokens=False))
                assert again == response
            *_, (_, steps) = walk(task, problem, rng, most=4)
            node, nodes = space.root, [space.root]


@by_name
def test_reading_stops_at_the_first_wrong_step(task):
    problem = task.train_problem(5)
    space, steps = Space(task, problem), next(task.solutions(problem))
    good = space.child(space.root, steps[0])
    wrong = good.prefix.removesuffix("</think>").removesuffix(";")
    assert space.read(f"{wrong} ; 7 apples ; {steps[-1].text} </think>") == [space.root, good]


@by_name
def test_prompts(task):
    problem = task.train_problem(0)
    assert task.prompt(problem, "solve") == f"solve : {problem}"
    with pytest.raises(ValueError, match="unknown instruction 'sing'"):
        task.prompt(problem, "sing")


class TestArithmetic:
    task = Arithmetic(5)

    def test_slips_are_wrong_and_read_with_the_reason(self):
        for problem in self.task.problems("train", 20):
            slips = self.task.slips(problem)
            assert slips
            for slip in slips:
                assert slip not in self.task.legal_steps(problem)
                with pytest.raises(ValueError, match=r" is [0-9]+, not [0-9]+"):
                    self.task.parse_step(problem, slip.text)

    def test_what_follows_a_slip_may_be_dead(self):
        state = self.task.problem("( 7 - 6 ) / ( 3 - 2 )")
        slip = next(s for s in self.task.slips(state) if s.equation == "3 - 2 = 0")
        after = type(state)(slip.rest)
        assert not self.task.solvable(after)
        assert self.task.distance(after) is None
        assert self.task.count_solutions(after) == 0

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("3 + 4 = 8 left 8 * 2", "3 [+] 4 is 7, not 8"),
            ("3 + 4 = 7 left 7 * 3", "the expression left is wrong"),
            ("4 * 2 = 8 left 3 + 8", "no innermost bracket"),
            ("3 - 4 = 1 left 1 * 2", "not a nonnegative integer"),
            ("3 + 4 = 7", "a step reads"),
        ],
    )
    def test_wrong_steps_have_reasons(self, text, reason):
        with pytest.raises(ValueError, match=reason):
            self.task.parse_step(self.task.problem("( 3 + 4 ) * 2"), text)


class TestJugs:
    task = Jugs(2)
    puzzle = task.problem([5, 3], 4)

    def test_known_puzzles(self):
        """Three and five make four in six steps (the film's puzzle); 3, 5, 8 as well."""
        assert self.task.distance(self.puzzle) == 6
        assert str(self.puzzle) == "make 4 in jugs 3 5"
        assert self.task.distance(self.task.problem([8, 5, 3], 4, [8, 0, 0])) == 6
        assert self.task.distance(self.task.problem([4, 6], 2)) == 2
        assert not self.task.solvable(self.task.problem([4, 6], 3))
        assert self.task.distance(self.task.problem([4, 6], 3)) is None

    def test_jugs_of_one_size_stay_apart(self):
        problem = self.task.problem([5, 5, 3], 4)
        texts = {step.text for step in self.task.legal_steps(problem)}
        assert {"fill b left 0 5 0", "fill c left 0 0 5"} <= texts

    def test_the_goal_ends_the_episode(self):
        state = self.task.problem([3, 5], 3)
        after = self.task.apply(state, self.task.parse_step(state, "fill a left 3 0"))
        assert self.task.is_solved(after)
        assert self.task.legal_steps(after) == []
        with pytest.raises(ValueError, match="holds 3 already"):
            self.task.parse_step(after, "fill b")

    def test_steps_can_go_round_in_circles(self):
        state = self.puzzle
        for text in ("fill a", "pour a to b", "empty b"):
            state = self.task.apply(state, self.task.parse_step(state, text))
        assert state == self.puzzle

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ("", "the answer is empty"),
            ("fill b , pour b to a", "no jug holds 4 at the end: they hold 3 2"),
            ("fill b , fill b", "action 2: fill b changes nothing when the jugs hold 0 5"),
            ("empty a", "action 1: empty a changes nothing"),
            ("pour a to a", "action 1: pour a to a changes nothing"),
            ("pour c to a", "action 1: there is no jug c"),
            ("fill d", "action 1: an action reads"),
            ("fill b ,, empty b", "action 2: an action reads"),
            ("FILL b", "action 1: an action reads"),
            ("fill\tb", "action 1: an action reads"),
            ("fill b left 0 5", "action 1: an action reads"),
            ("4", "action 1: an action reads"),
            ("__import__('os')", "action 1: an action reads"),
            (
                "fill b , pour b to a , empty a , pour b to a , fill b , pour b to a , empty a",
                "the answer goes on after a jug holds 4",
            ),
            ("fill b , empty b , " * 300, "longer than 4096"),
            (None, "must be text"),
        ],
    )
    def test_wrong_answers_get_a_plain_reason(self, answer, reason):
        verdict = self.task.verify_answer(self.puzzle, answer)
        assert not verdict
        assert reason in verdict.reason
        assert len(verdict.reason) < 120

    def test_answers_by_tags(self):
        text = self.task.solution_text(self.puzzle)
        assert self.task.verify(self.puzzle, text)
        assert not self.task.verify(self.puzzle, text.replace("</think>", ""))
        spelled = text.replace("fill b , pour", "Fill b,\n pour")
        assert not self.task.verify(self.puzzle, spelled)
        assert self.task.verify(self.puzzle, spelled, "lenient")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (([3], 2), "2 or 3 jugs"),
            (([3, 5, 7, 9], 2), "2 or 3 jugs"),
            (([3, 14], 2), "every capacity must be an integer from 1 to 13"),
            (([3, 5.0], 2), "every capacity"),
            (([3, True], 2), "every capacity"),
            (("35", 2), "capacities must be a list"),
            (([3, 5], 6), "goal must be an integer from 1 to 5"),
            (([3, 5], 0), "goal must be"),
            (([3, 5], 4, [1]), "2 jugs need as many amounts"),
            (([3, 5], 4, [4, 0]), "what a jug of 3 holds"),
            (([3, 5], 4, "00"), "amounts must be a list"),
            (([3, 5], 4, [0, 4]), "a jug holds 4 already"),
        ],
    )
    def test_malformed_problems_are_refused(self, arguments, reason):
        with pytest.raises(ValueError, match=reason):
            self.task.problem(*arguments)

    @pytest.mark.parametrize("arguments", [(1,), (4,), (2, 14), (2, 2), (2, 13, 0), ("2",)])
    def test_malformed_tasks_are_refused(self, arguments):
        with pytest.raises(ValueError, match="must be an integer"):
            Jugs(*arguments)

    def test_no_single_fill_solves_a_sampled_problem(self):
        for problem in self.task.problems("train", 50) + self.task.problems("test_inputs"):
            assert self.task.distance(problem) >= 2
            assert problem.goal not in problem.capacities


def test_wide_numbers_are_sampled_and_the_splits_stay_apart():
    """Numbers to 99: too many to list, so they are drawn."""
    task = Countdown(4, high=99)
    seen = {split: task.problems(split, 25, seed=2) for split in SPLITS}
    for split, problems in seen.items():
        assert problems == task.problems(split, 30, seed=2)[:25]
        assert max(max(p.numbers) for p in problems) > 60
        assert all(task.solvable(p) for p in problems)
    assert {p.target for p in seen["game24"]} == {24}
    inputs = {split: {p.numbers for p in problems} for split, problems in seen.items()}
    assert not inputs["train"] & (inputs["val_inputs"] | inputs["test_inputs"])
    with pytest.raises(ValueError, match="too large to list with 4 numbers from 1 to 99"):
        task.problems("val_inputs")


def test_the_vocabulary_keeps_its_size_and_the_ids_of_words_in_use():
    """Shipped checkpoints depend on it: words that no text used made room for those of Jugs."""
    shipped = Policy.load("nano-think", bf16=False).tokenizer.get_vocab()
    ours = build_tokenizer().get_vocab()
    assert len(ours) == len(shipped)
    new = {"▁fill": "▁double", "▁empty": "▁half", "▁pour": "▁number", "▁jugs": "▁color",
           "▁b": "▁capital", "▁c": "▁one"}  # fmt: skip
    for word, index in ours.items():
        assert shipped.get(word, shipped.get(new.get(word))) == index
