"""Files that are never half written, and folders that only one process writes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8) at once: a reader sees the old one or the new one, never a half."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Be the only process that writes `path`; a second one is refused with a `ValueError`.

    The operating system releases the lock when its process ends, however it ends, so no stale lock
    can be left behind. The lock file is in the folder for temporary files, not beside `path`.
    """
    place = os.path.normcase(Path(path).resolve())
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else "user"
    lock = Path(tempfile.gettempdir()) / f"o1lib-{user}-{name}.lock"
    with held(lock, f"another run is writing {path}: wait for it, or stop it"):
        yield


@contextmanager
def held(lock_file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock while the block runs; where another process holds it, raise `ValueError` with the
    refusal. The system lets go of it when the process dies, however it dies.
    """
    lock = FileLock(lock_file, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(refusal) from error
    try:
        yield
    finally:
        lock.release()
