"""Which errors are for users: one line instead of a traceback.

o1lib says what a user did wrong by `raise ValueError("a plain sentence")`. A `ValueError` that
Python or another library raises (`int("x")`, `zip(strict=True)`, numpy) is a bug of ours.
"""

from __future__ import annotations

import dis

RAISE = dis.opmap["RAISE_VARARGS"]


def is_for_users(error: BaseException) -> bool:
    """Whether an error tells a user what to do otherwise: an `OSError` (a file that cannot be read,
    a full disk), or a `ValueError` that o1lib's own code raised by a `raise` statement.
    """
    if isinstance(error, OSError):
        return True
    trace = error.__traceback__
    if not isinstance(error, ValueError) or trace is None:
        return False
    while trace.tb_next:
        trace = trace.tb_next
    frame = trace.tb_frame
    ours = frame.f_globals.get("__name__", "").split(".")[0] == "o1lib"
    return ours and frame.f_code.co_code[trace.tb_lasti] == RAISE
