"""What decides a run, written down so that two runs can be told apart: `describe` and
`differences`.

A function is its name, its compiled code (comments, layout and docstrings do not count), its
defaults and the values it has closed over; outside of o1lib also the globals of its own module that
it uses. All else of o1lib is stood for by its version: a maintainer who edits a comment, or a
function that the run does not hold in its hands, loses no run. A model is a hash of its weights.
What cannot be told apart from another of its class is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import sys
import types
from dataclasses import fields, is_dataclass
from pathlib import PurePath

import torch

import o1lib

LONGEST = 4000  # characters of a description that are kept as they are; longer ones are hashed


def describe(obj) -> object:
    """JSON that is the same for the same thing, in any process, and another for another.

    An object may have a method `identity()` that returns what it is to be described by. Raises
    `ValueError` for an object that says nothing of itself (its `repr` is a memory address).
    """
    return _describe(obj, ())


def environment() -> dict:
    """The versions that decide numbers beside everything else."""
    return {"o1lib": o1lib.__version__, "python": "{}.{}".format(*sys.version_info)}


def weights_hash(model: torch.nn.Module) -> str:
    """16 hex digits of the SHA-256 of a network's weights and their names."""
    found = hashlib.sha256()
    for name, p in model.named_parameters():
        found.update(f"{name} {tuple(p.shape)} {p.dtype}".encode())
        found.update(p.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def differences(saved, now) -> list[str]:
    """Where two descriptions differ, as paths of names: `collect > reward`, `schedule > lr`."""
    paths = [" > ".join(name for name in path if name not in _PLAIN) for path in _paths(saved, now)]
    return list(dict.fromkeys(path or "everything" for path in paths))


def _paths(saved, now) -> list[tuple[str, ...]]:
    if saved == now:
        return []
    if not (isinstance(saved, dict) and isinstance(now, dict)):
        return [()]
    found = []
    for key in [*saved, *(k for k in now if k not in saved)]:
        if key not in saved or key not in now:
            found.append((key,))
        else:
            found += [(key, *path) for path in _paths(saved[key], now[key])]
    return found


_PLAIN = {"code", "function", "class", "value", "arguments", "partial", "long", "of"}


def _describe(obj, above: tuple) -> object:
    if obj is None or isinstance(obj, (bool, int, str)):
        return obj
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else repr(obj)
    if id(obj) in above:
        return "itself"
    above = (*above, id(obj))

    def inner(value):
        return _describe(value, above)

    if isinstance(obj, dict):
        return _short({str(key): inner(value) for key, value in obj.items()})
    if isinstance(obj, (list, tuple)):
        plain = all(type(value) in (int, bool, str, float) for value in obj)
        return _short(list(obj) if plain else [inner(value) for value in obj])
    if isinstance(obj, (set, frozenset)):
        return _short(sorted(json.dumps(inner(value)) for value in obj))
    if isinstance(obj, PurePath):
        return str(obj)
    if isinstance(obj, (type, types.ModuleType, types.BuiltinFunctionType)):
        return _name(obj)
    if hasattr(obj, "identity"):
        return {"class": _name(type(obj)), "value": inner(obj.identity())}
    if isinstance(obj, functools.partial):
        given = {"arguments": [inner(a) for a in obj.args]} if obj.args else {}
        return {"partial": inner(obj.func)} | given | {k: inner(v) for k, v in obj.keywords.items()}
    if isinstance(obj, types.MethodType):
        return {"method": inner(obj.__func__), "self": inner(obj.__self__)}
    if hasattr(obj, "__wrapped__"):  # a cached function
        return inner(obj.__wrapped__)
    if isinstance(obj, types.FunctionType):
        return _function(obj, inner)
    if isinstance(obj, torch.Tensor):
        return _hash(repr(obj.detach().cpu().tolist()))
    if isinstance(obj, torch.nn.Module):
        return {"class": _name(type(obj)), "weights": weights_hash(obj)}
    if isinstance(getattr(obj, "model", None), torch.nn.Module):
        return inner(obj.model) | {"bf16": getattr(obj, "bf16", False)}
    if is_dataclass(obj):
        return _class(type(obj)) | {f.name: inner(getattr(obj, f.name)) for f in fields(obj)}
    if hasattr(obj, "get_vocab"):
        vocabulary = sorted(obj.get_vocab().items())
        return {"class": _name(type(obj)), "vocabulary": _hash(json.dumps(vocabulary))}
    text = repr(obj)
    if re.search(r"\bat 0x[0-9a-fA-F]+", text):
        raise ValueError(
            f"a run cannot be identified by {text[:120]}: "
            f"give {type(obj).__name__} a __repr__ or a method identity() that says what it is"
        )
    return _class(type(obj)) | {"value": text if len(text) <= LONGEST else _hash(text)}


def _function(function: types.FunctionType, inner) -> dict:
    code, found = function.__code__, {"function": _name(function), "code": _code(function.__code__)}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    found |= {name: inner(cell.cell_contents) for name, cell in cells}
    names = code.co_varnames[: code.co_argcount][::-1]
    values = dict(zip(names, (function.__defaults__ or ())[::-1], strict=False))
    values |= function.__kwdefaults__ or {}
    found |= {name: inner(value) for name, value in values.items()}
    if not _ours(function):
        known = {n: function.__globals__[n] for n in _names(code) & function.__globals__.keys()}
        found |= {name: inner(known[name]) for name in sorted(known) if _own(known[name], function)}
    return found


def _ours(obj) -> bool:
    return (obj.__module__ or "").split(".")[0] == "o1lib"


def _own(value, function: types.FunctionType) -> bool:
    """Whether a global is more than an import: no module, no function or class of another
    module.
    """
    if isinstance(value, types.ModuleType):
        return False
    if hasattr(value, "__qualname__"):  # a function or a class
        return value.__module__ == function.__module__
    return True


def _class(cls: type) -> dict:
    """A class by its name, and by the code of its methods where it is not o1lib's."""
    methods = [m for m in vars(cls).values() if isinstance(m, types.FunctionType)]
    written = [_code(m.__code__) for m in methods if m.__module__ == cls.__module__]
    return {"class": _name(cls)} | ({} if _ours(cls) or not written else {"code": written})


def _names(code: types.CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _code(code: types.CodeType) -> str:
    """A hash of compiled code, without names of files, line numbers and docstrings."""

    def parts(code: types.CodeType) -> list:
        constants = list(code.co_consts)
        if _has_docstring(code):
            constants[0] = None
        shown = [parts(c) if isinstance(c, types.CodeType) else _constant(c) for c in constants]
        return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), shown]

    return _hash(json.dumps(parts(code)))


def _has_docstring(code: types.CodeType) -> bool:
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & 0x4000000)  # CO_HAS_DOCSTRING
    first = code.co_consts[0] if code.co_consts else None
    return isinstance(first, str) and not code.co_name.startswith("<")


def _constant(value) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _short(value):
    text = json.dumps(value)
    return value if len(text) <= LONGEST else {"long": _hash(text), "of": len(value)}


def _name(obj) -> str:
    return f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', obj.__name__)}".lstrip(
        "."
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
