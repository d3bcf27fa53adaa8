"""Where things are: shipped artefacts in `data/`, what runs write in `outputs/`; found through the
package, not the working directory.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent
SCALES = ("ci", "laptop", "gpu")


def in_checkout() -> bool:
    """Whether the package is that of a checkout of the repository, with notebooks beside it."""
    return (ROOT / "pyproject.toml").exists() and (ROOT / "notebooks").is_dir()


def data_dir() -> Path:
    """The shipped artefacts: `data/` of the checkout, or the copy within an installed package.
    `O1LIB_DATA` overrides it.
    """
    shipped = ROOT / "data" if in_checkout() else PACKAGE / "_data"
    return Path(os.environ.get("O1LIB_DATA") or shipped)


def outputs_dir(scale: str | None = None) -> Path:
    """What runs write, per scale: in `outputs/` of the checkout, or of the working directory where
    the package is installed. `O1LIB_OUTPUTS` overrides it.
    """
    scale = scale or os.environ.get("SCALE", "laptop")
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; choose from {', '.join(SCALES)}")
    home = ROOT if in_checkout() else Path.cwd()
    return Path(os.environ.get("O1LIB_OUTPUTS") or home / "outputs") / scale


def file_hash(path: str | Path) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@lru_cache
def code_version() -> str:
    """The package's version and a hash of its source: two equal ones are the same code."""
    from o1lib import __version__

    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return f"{__version__}+{digest.hexdigest()[:12]}"
