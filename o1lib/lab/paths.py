"""Where things are: shipped artefacts in `data/`, what runs write in `outputs/`; found through the
package, not the working directory.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCALES = ("ci", "laptop", "gpu")


def data_dir() -> Path:
    """The shipped artefacts. `O1LIB_DATA` overrides it."""
    return Path(os.environ.get("O1LIB_DATA") or ROOT / "data")


def outputs_dir(scale: str | None = None) -> Path:
    """What runs write, per scale. `O1LIB_OUTPUTS` overrides the folder `outputs/`."""
    scale = scale or os.environ.get("SCALE", "laptop")
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}; choose from {', '.join(SCALES)}")
    return Path(os.environ.get("O1LIB_OUTPUTS") or ROOT / "outputs") / scale


def file_hash(path: str | Path) -> str:
    """The first 16 hex digits of a file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
