"""What every process of this project sets before the libraries below it are imported."""

from __future__ import annotations

import os
import sys

SETTINGS = {
    "HF_HUB_OFFLINE": "1",  # nothing is downloaded at run time
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # "Loading weights" of a model that loads in a second
    "TOKENIZERS_PARALLELISM": "false",  # or a warning when a process forks after tokenizing
    "TRANSFORMERS_VERBOSITY": "error",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a warning about frozen modules in every kernel
}


def prepare() -> None:
    """Set what is not set already (kernels and other children inherit it), and let no character
    that the terminal's code page lacks end a run.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
