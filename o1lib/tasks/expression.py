"""The strict answer grammar: find the answer in a response, parse it, and work it out exactly.

Model output is hostile text. It is parsed, never evaluated as code; the parser is iterative, so
nesting cannot overflow a stack; and an expression is worked out only after its numbers are known to
be the problem's own, so that nothing can grow.

    expression = number | "(" expression ")" | expression ("+" | "-" | "*" | "/") expression
    number     = "0" | a digit 1-9 followed by digits          (no sign, no leading zero, no point)

The usual precedence holds; operators of one rank group to the left. Only ASCII and only spaces
between the parts. What other people's models write is rewritten for this grammar by
`o1lib.tasks.notation`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from o1lib.tasks.base import Verdict
from o1lib.tasks.notation import MAX_ANSWER_CHARS, check_answer, check_notation

_ALLOWED = re.compile(r"[0-9+\-*/() ]*\Z")
_PART = re.compile(r"[0-9]+|[+\-*/()]")
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2}
_ENDING = re.compile(r"[ \n]*+\Z")
_LENIENT_ENDING = re.compile(r"\s*+\Z")
_NAMES = {
    "=": "an equals sign",
    ".": "a point",
    ",": "a comma",
    "^": "a power sign",
    "\x00": "a NUL character",
}


def extract_answer(response: str, notation: str = "strict") -> str:
    """The text of the one `<answer> ... </answer>` of a response.

    Args:
        notation: with "lenient" any white space may stand around the answer and after it.

    Raises `ValueError` with a plain reason when there is none, several, one inside the thinking, or
    text after it.
    """
    check_notation(notation)
    if not isinstance(response, str):
        raise ValueError(f"a response must be text, got {type(response).__name__}")
    opened, closed = response.count("<think>"), response.count("</think>")
    if opened > 1 or closed > 1:
        raise ValueError("the response thinks more than once")
    if opened != closed:
        raise ValueError(
            "the thinking is not closed"
            if opened
            else "the thinking closes without having been opened"
        )
    starts, ends = response.count("<answer>"), response.count("</answer>")
    if starts == 0:
        raise ValueError("there is no answer")
    if starts > 1 or ends > 1:
        raise ValueError("there is more than one answer")
    start, end = response.find("<answer>"), response.find("</answer>")
    if end < start:
        raise ValueError("the answer is not closed")
    think_end = response.find("</think>")
    if opened and (response.find("<think>") > think_end or start < think_end):
        raise ValueError("the answer comes before the thinking has closed")
    ending = _ENDING if notation == "strict" else _LENIENT_ENDING
    if not ending.match(response, end + len("</answer>")):
        raise ValueError("there is text after the answer")
    answer = response[start + len("<answer>") : end]
    if len(answer) > MAX_ANSWER_CHARS:
        raise ValueError(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
    return answer.strip(" " if notation == "strict" else None)


def verify_response(task, problem, response: str, notation: str) -> Verdict:
    """What `verify` of every task does: find the answer, then `task.verify_answer`.

    Raises `ValueError` for an unknown notation, which is the caller's mistake, not the response's.
    """
    check_notation(notation)
    try:
        answer = extract_answer(response, notation)
    except ValueError as error:
        return Verdict(False, str(error))
    return task.verify_answer(problem, answer, notation)


def parse_expression(text: str) -> list[int | str]:
    """Parse an expression into reverse Polish notation: numbers as `int`, operators as `str`.

    Raises `ValueError` with a plain reason for anything outside the grammar.
    """
    check_answer(text)
    if not _ALLOWED.match(text):
        bad = next(c for c in text if not _ALLOWED.match(c))
        raise ValueError(f"the answer contains {_NAMES.get(bad, ascii(bad))}, which is not allowed")
    output: list[int | str] = []
    stack: list[str] = []  # operators and open brackets
    want_value = True
    for part in _PART.findall(text):
        if part.isdigit():
            if not want_value:
                raise ValueError(f"an operator is missing before {part[:20]}")
            if part[0] == "0" and part != "0":
                raise ValueError(f"the number {part[:20]} has a leading zero")
            output.append(int(part))
            want_value = False
        elif part == "(":
            if not want_value:
                raise ValueError("an operator is missing before a bracket")
            stack.append(part)
        elif part == ")":
            if want_value:
                raise ValueError("a number is missing before a closing bracket")
            while stack and stack[-1] != "(":
                output.append(stack.pop())
            if not stack:
                raise ValueError("a bracket closes that was not opened")
            stack.pop()
        else:
            if want_value:
                raise ValueError(f"a number is missing before {part}")
            while stack and stack[-1] != "(" and _RANK[stack[-1]] >= _RANK[part]:
                output.append(stack.pop())
            stack.append(part)
            want_value = True
    if want_value:
        raise ValueError(
            "the answer is empty" if not output and not stack else "a number is missing at the end"
        )
    while stack:
        if stack[-1] == "(":
            raise ValueError("a bracket is not closed")
        output.append(stack.pop())
    return output


def numbers_of(rpn: list[int | str]) -> list[int]:
    """The numbers of a parsed expression, in order of appearance."""
    return [part for part in rpn if isinstance(part, int)]


def exact_value(rpn: list[int | str]) -> Fraction:
    """The exact value of a parsed expression. Raises `ValueError` on division by zero."""
    stack: list[Fraction] = []
    for part in rpn:
        if isinstance(part, int):
            stack.append(Fraction(part))
            continue
        right, left = stack.pop(), stack.pop()
        if part == "+":
            stack.append(left + right)
        elif part == "-":
            stack.append(left - right)
        elif part == "*":
            stack.append(left * right)
        elif right == 0:
            raise ValueError("the answer divides by zero")
        else:
            stack.append(left / right)
    return stack[0]


def attempted(answer: str) -> str:
    """How a prompt quotes an answer, e.g. `attempt ( 8 + 7 ) - 2 gives 13`: what it gives is worked
    out, not judged. An answer that is no expression is quoted alone.
    """
    try:
        return f"attempt {answer} gives {exact_value(parse_expression(answer))}"
    except ValueError:
        return f"attempt {answer}"
