"""Chains, instructions and corpus against the oracle and the verifier."""

import random
import re

import pytest

from o1lib.model.tokenizer import build_tokenizer
from o1lib.policy import language
from o1lib.policy.behaviors import BEHAVIORS, check_chain, count_behaviors
from o1lib.policy.corpus import (
    Document,
    Mixture,
    base_parts,
    compose_part,
    encode,
    equality_part,
    judge_part,
    propose_part,
    revise_afresh_part,
    revise_part,
    solve_part,
    think_part,
    think_parts,
)
from o1lib.policy.lists import equation, results_of
from o1lib.policy.replies import random_solution, steps_of
from o1lib.policy.traces import GRAMMARS, Style, think
from o1lib.tasks import Countdown
from o1lib.tasks.oracle import combine

tokenizer = build_tokenizer()


def text_of(pieces):
    return " ".join(text for text, _ in pieces)


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("n", [2, 3, 4])
def test_chains_are_right(grammar, n):
    """Every chain is accepted by the verifier, and all its lists and verdicts are true."""
    task, style = Countdown(n), Style(grammar, slip=0.05)
    written = 0
    for index in range(60):
        problem = task.train_problem(index)
        pieces = think(problem, random.Random(index), style)
        if pieces is None:
            continue
        written += 1
        text = text_of(pieces)
        assert task.verify(problem, text), text
        check = check_chain(text)
        assert check.lists == check.right_lists, text
        assert check.wants == check.right_wants, text
        assert check.verdicts == check.right_verdicts
        assert check.steps == check.right_steps > 0
        if grammar != "dfs":  # nothing that a chain claims goes unchecked
            assert check.verdicts == len(re.findall(r" (?:no|yes)\b", text))
            claims = text.count(" get ") - text.count(" wait ")
            assert check.lists + check.wants == claims, text
            assert check.wants >= text.count(" want ") - (n == 2), text
        for a, op, b, r in re.findall(r"([0-9]+) ([-+*/]) ([0-9]+) = ([0-9]+)", text):
            assert any(
                step.result == int(r)
                for step in task.legal_steps(task.problem([int(a), int(b)], 1))
                if step.op == op
            )
    assert written > 50


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_search_is_complete(grammar):
    """A chain exists exactly when the oracle finds a solution that avoids zero and huge values (for
    24: always).
    """
    task = Countdown(4)
    for problem in task.problems("game24")[::9]:
        assert (
            think(problem, random.Random(0), Style(grammar, slip=0)) is not None
        ) == task.solvable(problem)


def test_unsolvable_and_out_of_range():
    task = Countdown()
    assert think(task.problem([1, 1, 1, 1], 24), random.Random(0)) is None
    assert random_solution(task.problem([1, 1, 1, 1], 24), random.Random(0)) is None
    with pytest.raises(ValueError, match="2 to 4 numbers"):
        think(task.problem([1, 2, 3, 4, 5], 15), random.Random(0))
    with pytest.raises(ValueError, match="unknown grammar"):
        Style("poetry")
    with pytest.raises(ValueError, match="cannot make"):
        equation(2, 3, 100)


def test_values_are_the_legal_results():
    task = Countdown()
    for x in range(1, 40):
        for y in range(1, 14):
            truth = {s.result for s in task.legal_steps(task.problem([x, y], 1))} - {0}
            assert set(results_of(x, y)) == truth
            assert len(results_of(x, y)) == len(truth)


def test_slips_are_planted_noticed_and_masked():
    task, slips = Countdown(4), 0
    for index in range(200):
        pieces = think(task.train_problem(index), random.Random(index), Style(slip=0.1)) or []
        for i, (text, counted) in enumerate(pieces):
            if not counted:
                slips += 1
                assert pieces[i + 1][0] == "wait"
                x, y, *written = map(int, re.findall("[0-9]+", pieces[i - 1][0]))
                assert results_of(x, y)[: len(written)] == written
                assert results_of(x, y)[len(written)] != int(text)
                # The same list follows, mended.
                assert pieces[i + 2][0].startswith(f"{x} {y} get")
        ids, counted = encode(tokenizer, Document("think : x", pieces))
        masked = [t for t, c in zip(ids, counted, strict=True) if not c]
        wait = tokenizer.convert_tokens_to_ids("▁wait")
        assert wait not in masked
    assert slips > 50


@pytest.mark.parametrize("n", [3, 4])
def test_misread_lists_are_worked_out_and_taken_back(n):
    """What follows from a false `yes` is true, misses the goal and is not counted but for its
    results; the list follows again, with `no`. Without them the chain is the same.
    """
    task, taken_back = Countdown(n), 0
    for index in range(60):
        problem = task.train_problem(index)
        pieces = think(problem, random.Random(index), Style(slip=0, misread=0.3))
        places = [i for i, (text, _) in enumerate(pieces) if text == "yes so"]
        for i in places:
            end = next(j for j in range(i, len(pieces)) if pieces[j][0] == "wait")
            claims, given = pieces[i + 1 : end], list(problem.numbers)
            assert [pieces[i][1], pieces[end][1]] == [False, True]
            assert [counted for _, counted in claims] == [False, True] * (n - 1)
            for (left, _), (result, _) in zip(claims[::2], claims[1::2], strict=True):
                a, op, b = left.removeprefix(", ").removesuffix(" =").split()
                assert (int(a), op, int(b), int(result)) in combine(int(a), int(b))
                given.remove(int(a))
                given.remove(int(b))
                given.append(int(result))
            [end_value] = given
            assert end_value != problem.target
            assert pieces[end + 1][0] == f"{pieces[i - 1][0]} no"
        taken_back += len(places)
        assert task.verify(problem, text_of(pieces)).correct
    assert taken_back > 10


@pytest.mark.parametrize("n", [3, 4])
def test_what_is_passed_over_is_looked_for_again(n):
    """A list that meets what is wanted and is left with `no`: from the hit on nothing of it counts.
    The chain still ends right, and begins again where nothing else is left.
    """
    task, passed, again = Countdown(n), 0, 0
    for index in range(60):
        problem = task.train_problem(index)
        pieces = think(problem, random.Random(index), Style(slip=0, overlook=0.7))
        assert task.verify(problem, text_of(pieces)).correct
        places = [i for i, (_, counted) in enumerate(pieces) if not counted]
        for i in places:
            assert pieces[i][0].endswith("no")
            x, y, shown = re.fullmatch(r"(\d+) (\d+) get ((?:\d+ ?)+)", pieces[i - 1][0]).groups()
            rest = pieces[i][0].split()[:-1]
            values = results_of(int(x), int(y))
            assert [*map(int, shown.split()), *map(int, rest)] == values
        openers = [text for text, _ in pieces if text.startswith("try" if n == 4 else "want")]
        passed += len(places)
        again += len(openers) > len(set(openers))
    assert passed > 20
    assert again > 5


def test_all_behaviors_occur():
    found = sum(
        (
            count_behaviors(text_of(think_part(4, Style(slip=0.02))(random.Random(i)).pieces))
            for i in range(30)
        ),
        start=count_behaviors(""),
    )
    assert set(found) == set(BEHAVIORS)
    assert min(found.values()) > 0


def test_solve_steps_read_back():
    task = Countdown(4)
    for i in range(30):
        document = solve_part(4)(random.Random(i))
        numbers = [int(x) for x in re.findall("[0-9]+", document.prompt)]
        problem = state = task.problem(numbers[1:], numbers[0])
        for text in (
            document.text.split("</think>")[0].removeprefix("<think> ").strip().split(" ; ")
        ):
            state = task.apply(state, task.parse_step(state, text))
        assert task.is_solved(state)
        assert task.verify(problem, document.text)


def test_judge_and_propose_are_true():
    task = Countdown()
    verdicts = set()
    for i in range(60):
        document = judge_part(random.Random(i))
        goal, *numbers = [int(x) for x in re.findall("[0-9]+", document.prompt)]
        verdict = document.text.split("<answer> ")[1].split()[0]
        verdicts.add(verdict)
        assert (verdict == "alive") == task.solvable(task.problem(numbers, goal))
        document = propose_part(random.Random(i))
        goal, *numbers = [int(x) for x in re.findall("[0-9]+", document.prompt)]
        steps = document.text.removeprefix("<answer> ").removesuffix(" </answer>").split(" ; ")
        assert len(steps) == len(set(steps)) > 1
        for step in steps:
            task.parse_step(task.problem(numbers, goal), step)
    assert verdicts == {"alive", "dead"}


@pytest.mark.parametrize("part", [revise_part, revise_afresh_part])
def test_revise_shows_a_wrong_attempt_with_its_value(part):
    task = Countdown(3)
    for i in range(20):
        document = part(3)(random.Random(i))
        problem_text, attempt = document.prompt.removeprefix("revise : ").split(" ; attempt ")
        expression, value = attempt.split(" gives ")
        goal, *numbers = [int(x) for x in re.findall("[0-9]+", problem_text)]
        problem = task.problem(numbers, goal)
        assert (
            task.verify_answer(problem, expression).reason == f"the answer is {value}, not {goal}"
        )
        assert task.verify(problem, document.text)


@pytest.mark.parametrize("n_numbers", [3, 4])
def test_revise_keeps_what_was_right_in_the_attempt(n_numbers):
    """FINDINGS 1.19: a demonstration begins with the attempt, keeps its steps before the last
    living state, and every claim in it is true.
    """
    task, kept = Countdown(n_numbers), 0
    for i in range(60):
        document = revise_part(n_numbers, Style(slip=0))(random.Random(i))
        goal, *numbers = map(int, re.findall("[0-9]+", document.prompt.split(" ; attempt")[0]))
        problem = task.problem(numbers, goal)
        steps = steps_of(problem, document.prompt.split("attempt ")[1].split(" gives")[0])
        assert document.text.split(" check ")[1].split(f" for {goal} no wait")[0] == " , ".join(
            s.equation for s in steps
        )
        check = check_chain(document.text)
        assert (check.lists, check.verdicts) == (check.right_lists, check.right_verdicts)
        assert check.steps == check.right_steps
        assert task.verify(problem, document.text)
        if any(not 0 < s.result < 1000 for s in steps):
            continue  # chains do not follow zero and huge values, the oracle does
        alive = [task.solvable(task.problem(s.rest, goal)) for s in steps[:-1]]
        right = len(alive) - alive[::-1].index(True) if any(alive) else 0
        concluded = document.text.split(" so ")[-1].split(" </think>")[0].split(" , ")
        assert concluded[:right] == [s.equation for s in steps[:right]]
        kept += right > 0
    assert kept > 5


def test_revise_takes_a_policys_own_attempts():
    task = Countdown(3)
    problem = task.problem([3, 5, 7], 26)
    attempts = [
        (problem, text) for text in ("( 7 * 3 ) - 5", "7 * 3 + 5", "26", "3 / 7 + 5", "7 +")
    ]
    for i in range(5):
        document = revise_part(3, attempts=attempts)(random.Random(i))
        assert document.prompt.endswith("; attempt ( 7 * 3 ) - 5 gives 16")
        assert "check 7 * 3 = 21 , 21 - 5 = 16 for 26 no wait left 5 21" in document.text
        assert document.text.endswith(
            "so 7 * 3 = 21 , 21 + 5 = 26 </think> <answer> ( 7 * 3 ) + 5 </answer>"
        )
        ids, _ = encode(tokenizer, document)
        assert tokenizer.unk_token_id not in ids
    with pytest.raises(ValueError, match="none of the attempts"):
        revise_part(3, attempts=attempts[1:])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("want 24 4 get 28 20 96 6", "want 24 4 get 28 20 96 7"),
        ("want 24 4 get 28 20 96 6", "want 25 4 get 29 21 100"),
        ("24 11 get 35 13 264", "24 11 get 35 13 265"),
        ("7 + 5 = 12", "7 + 5 = 13"),
        ("12 6 get 18 6 yes", "12 6 get 18 6 no"),
        ("24 3 get 27 21 72 8 no", "24 3 get 27 21 72 8 yes"),
    ],
)
def test_a_wrong_claim_is_found(right, wrong):
    text = (
        "<think> use 4 5 6 7 for 24 try 4 7 get 11 3 28 rest 5 6 "
        "want 24 6 get 30 18 144 4 : 11 5 get 16 6 55 no "
        "join 5 6 get 11 1 30 : 24 11 get 35 13 264 no 24 3 get 27 21 72 8 no dead "
        "try 5 7 get 12 2 35 rest 4 6 want 24 4 get 28 20 96 6 : 12 6 get 18 6 yes "
        "so 7 + 5 = 12 , 12 - 6 = 6 , 6 * 4 = 24 </think>"
    )

    def wrong_claims(text):
        check = check_chain(text)
        kinds = ("lists", "wants", "verdicts", "steps")
        return sum(getattr(check, k) - getattr(check, f"right_{k}") for k in kinds)

    assert right in text
    assert wrong_claims(text) == 0
    assert wrong_claims(text.replace(right, wrong)) >= 1
    assert check_chain("so 1 / 0 = 0 , 99999999999999 * 9 = 1").right_steps == 0


def test_drills_are_true():
    hits = 0
    for i in range(100):
        document = equality_part(random.Random(i))
        text = document.text
        check = check_chain(text)
        assert check.lists == check.right_lists > 0
        assert check.verdicts == check.right_verdicts
        hits += check.yes
        for goal, kept, wanted in re.findall(r"want ([0-9]+) ([0-9]+) get ([0-9 ]+) :", text):
            assert [int(w) for w in wanted.split()] == results_of(int(goal), int(kept))
        assert re.search(r"<answer> (.+) </answer>", compose_part(random.Random(i)).text)
    assert 150 < hits < 450


@pytest.mark.parametrize("parts", [base_parts(), think_parts(3), think_parts(4)])
def test_mixtures(parts):
    """No unknown words, no held-out goal (encode refuses them), exact shares of tokens, the same
    documents again.
    """
    mixture = Mixture(parts, tokenizer)
    first = mixture.batch(40_000)
    assert all(tokenizer.unk_token_id not in ids for ids, _ in first)
    assert all(len(ids) < 1152 for ids, _ in first)
    total, shares = sum(len(ids) for ids, _ in first), sum(share for share, _ in parts.values())
    for name, (share, _) in parts.items():
        assert mixture.state[name]["tokens"] / total == pytest.approx(share / shares, abs=0.03)
    assert Mixture(parts, tokenizer).batch(40_000) == first
    assert Mixture(parts, tokenizer, seed=1).batch(4_000) != first[:50]


def test_bad_mixture_is_refused():
    with pytest.raises(ValueError, match="positive shares"):
        Mixture({}, tokenizer)


def test_language_parts():
    rng = random.Random(0)
    for _ in range(200):
        words = language.sentence(rng).split()
        plural = words[2] in language.PLURAL.values()
        verbs = {**language.VERBS, **language._TRANSITIVE}
        verb = next(w for w in words if w in verbs or w in verbs.values())
        assert (verb in verbs.values()) == plural
        statement = language.logic_sentence(rng)
        match = re.match(r"([0-9]+) is (more|less) than ([0-9]+) \? (true|false)", statement)
        if match:
            x, y = int(match[1]), int(match[3])
            assert (match[4] == "true") == (x > y if match[2] == "more" else x < y)
    assert language.fact("anna", "eats") == language.fact("anna", "eats")


class TestTokenizer:
    def test_numbers(self):
        assert tokenizer.tokenize("1 12") == ["▁1", "▁12"]
        assert tokenizer.tokenize("7 999 0") == ["▁7", "▁999", "▁0"]
        assert tokenizer.tokenize("1 1200") == ["▁1", "▁1", "2", "0", "0"]
        assert tokenizer.tokenize("11 200") == ["▁11", "▁200"]
        digits = build_tokenizer(digits=True)
        assert digits.tokenize("1 12") == ["▁1", "▁1", "2"]
        assert digits.tokenize("11 2") == ["▁1", "1", "▁2"]
        assert tokenizer.tokenize("(4+12)/2") == tokenizer.tokenize("( 4 + 12 ) / 2")

    @pytest.mark.parametrize(
        "text",
        [
            "<think> use 4 6 for 24 </think> <answer> ( 4 + 2 ) / 3 </answer>",
            "what eats anna ? fish .",
        ],
    )
    def test_round_trip(self, text):
        assert tokenizer.decode(tokenizer.encode(text)) == text

    def test_hostile_text(self):
        for text in ("", " ", "<bos><eos>", "№ 五 🙂", "a" * 10_000, "1" * 10_000, "\x00"):
            assert isinstance(tokenizer.encode(text), list)
        assert tokenizer.unk_token_id in tokenizer.encode("zebra")

    def test_chat_template(self):
        from o1lib.model.tokenizer import encode_prompt

        message = [{"role": "user", "content": "think : make 24 from 4 6 8 8"}]
        ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False)
        assert ids == encode_prompt(tokenizer, message[0]["content"])


@pytest.mark.parametrize("n_numbers", [3, 4])
def test_a_demonstrator_that_gives_up(n_numbers):
    """With probability zero nothing changes; otherwise chains are wrong as often as they fail
    before they hit, and what they conclude follows from their own equations.
    """
    task = Countdown(n_numbers)
    right = {}
    for give_up in (0.0, 0.5, 1.0):
        verdicts = []
        for i in range(200):
            problem = task.train_problem(i)
            pieces = think(problem, random.Random(i), Style(slip=0, give_up=give_up))
            plain = think(problem, random.Random(i), Style(slip=0))
            if plain is None:
                continue
            text = " ".join(text for text, _ in pieces)
            assert give_up or pieces == plain
            check = check_chain(text)
            assert check.right_steps == check.steps > 0
            verdicts.append(task.verify(problem, text).correct)
            if not verdicts[-1]:
                assert " no so " in text
                assert "yes" not in text.split()
        right[give_up] = sum(verdicts)
    assert right[0.0] > 190 > right[0.5] > right[1.0] > 5
    with pytest.raises(ValueError, match="probability"):
        Style(give_up=1.5)
