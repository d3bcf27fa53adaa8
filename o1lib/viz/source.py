"""The library's own code, shown where a notebook has just written it by hand."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

from IPython.display import Markdown

_PACKAGE = Path(__file__).resolve().parents[1]


class Source(Markdown):
    """Highlighted code in a notebook; the same as plain text elsewhere."""

    def __repr__(self) -> str:
        return self.data


def show_source(*objects, docstring: bool = False) -> Source:
    """The source of library functions or classes as highlighted code, below its place.

    Args:
        objects: functions, methods or classes written in Python.
        docstring: whether theirs are shown; without them the equation and its code stay together.

    Raises `ValueError` for something without source code, such as a function built into Python.
    """
    if not objects:
        raise ValueError("name at least one function whose source is to be shown")
    return Source("\n\n".join(_shown(item, docstring) for item in objects))


def _shown(item, docstring: bool) -> str:
    item = inspect.unwrap(item) if callable(item) else item
    try:
        path = Path(inspect.getsourcefile(item)).resolve()
        lines, first = inspect.getsourcelines(item)
    except (TypeError, OSError) as error:
        raise ValueError(f"{item!r} has no source code to show") from error
    source = textwrap.dedent("".join(lines)).rstrip()
    if not docstring:
        source = without_docstrings(source)
    inside = path.is_relative_to(_PACKAGE)
    place = path.relative_to(_PACKAGE.parent).as_posix() if inside else path.name
    # A fence longer than any row of back ticks in the code keeps the code inside.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    return f"`{place}:{max(first, 1)}`\n\n{fence}python\n{source}\n{fence}"


def without_docstrings(source: str) -> str:
    """Source code without the docstrings of its functions and classes; comments stay."""
    lines, drop = source.splitlines(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = node.body[0]
            if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
                drop.update(range(text.lineno - 1, text.end_lineno))
                after = text.end_lineno  # an empty line that set the docstring apart goes with it
                if after < len(lines) and not lines[after].strip():
                    drop.add(after)
    return "\n".join(line for i, line in enumerate(lines) if i not in drop)
