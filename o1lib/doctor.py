"""`o1lib doctor`: what this machine has, what will be chosen, what is broken and how to mend it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable

from o1lib.lab import machine
from o1lib.lab.paths import ROOT, data_dir, file_hash, in_checkout, outputs_dir

MINIMUM_PYTHON = (3, 11)


def checks() -> list[tuple[str, Callable[[], str]]]:
    """Name and check; a check returns what it found or raises `ValueError` with the mend."""
    return [
        ("Python", _python),
        ("packages", _packages),
        ("memory", _memory),
        ("disk", _disk),
        ("outputs", _outputs),
        ("checkpoints", _checkpoints),
        ("notebooks", _notebooks),
        ("Jupyter kernel", _kernel),
    ]


def _python() -> str:
    if sys.version_info < MINIMUM_PYTHON:
        raise ValueError(
            f"Python {sys.version.split()[0]} is too old: install 3.11 or newer, "
            "then run make again"
        )
    return sys.version.split()[0]


def _packages() -> str:
    """Every pin of requirements.txt against what is installed."""
    path = ROOT / "requirements.txt"
    if not path.exists():
        return "requirements.txt is not beside the package; not checked"
    wrong = []
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pins = [line.split("==")[:2] for line in lines if "==" in line]
    for name, version in pins:
        try:
            found = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{name} is {found}, wanted {version}")
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}: run pip install -r requirements.txt")
    return f"{len(pins)} pins met"


def _memory() -> str:
    try:
        gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return "unknown"
    if gib < 3.5:
        raise ValueError(
            f"{gib:.1f} GiB: at least 4 are needed; close other programs or use SCALE=ci"
        )
    return f"{gib:.0f} GiB"


def _disk() -> str:
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < 1:
        raise ValueError(f"{free:.1f} GiB free: at least 1 is needed for outputs")
    return f"{free:.0f} GiB free"


def _outputs() -> str:
    folder = outputs_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"cannot write there ({error}): set O1LIB_OUTPUTS to a folder of yours"
        ) from error
    return "writable"


def _checkpoints() -> str:
    """Every checkpoint that has a recipe is there, can be read, and was trained from the parent
    that is there.
    """
    from o1lib.model.checkpoints import card_of, find
    from o1lib.model.heads import ValueHead
    from o1lib.model.policy import Policy
    from o1lib.recipes.checkpoints import RECIPES
    from o1lib.recipes.stages import Value

    names = sorted(RECIPES)
    broken = []
    for name in names:
        try:
            (ValueHead if isinstance(RECIPES[name], Value) else Policy).load(name)
            parent, known = card_of(name)["parent"], card_of(name)["parent_hash"]
            if known and file_hash(find(parent) / "model.safetensors") != known:
                broken.append(f"{name} (its parent {parent} has changed since it was trained)")
        except (ValueError, KeyError, OSError) as error:
            broken.append(f"{name} ({type(error).__name__}: {error})")
    if broken:
        raise ValueError(
            f"{'; '.join(broken)}: restore data/checkpoints from the repository, or train them "
            "(o1lib train NAME)"
        )
    return ", ".join(names)


def _notebooks() -> str:
    """The logs that notebooks draw from are there, and in a checkout so are the notebooks."""
    missing = [
        name
        for name in ("comparisons", "curves")
        if not (data_dir() / "logs" / f"{name}.csv").exists()
    ]
    if missing:
        raise ValueError(f"data/logs lacks {', '.join(missing)}: restore data/ from the repository")
    if not in_checkout():
        return "not here: they come with the repository"
    return f"{len(list((ROOT / 'notebooks').glob('[0-9][0-9]*.ipynb')))} found"


def _kernel() -> str:
    mend = "run python -m ipykernel install --sys-prefix --name python3"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ModuleNotFoundError:
        return "not installed: notebooks need it (pip install 'o1lib[notebooks]')"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel as error:
        raise ValueError(f"no kernel named python3: {mend}") from error
    # `python` stands for the interpreter that starts the kernel, as in jupyter_client.
    name = re.fullmatch(r"python[\d.]*", spec.argv[0])
    interpreter = sys.executable if name else shutil.which(spec.argv[0])
    if interpreter is None:
        raise ValueError(
            f"the kernel python3 ({spec.resource_dir}) asks for {spec.argv[0]}, which is gone: "
            f"delete that folder, or {mend}"
        )
    return interpreter


def diagnose() -> int:
    """Print the report; the exit status is 1 when something is broken."""
    facts = machine.describe()
    cores, threads = f"{facts['cores']} cores", f"{facts['threads']} threads"
    print(f"machine      {facts['system']}, {cores}, torch {facts['torch']} with {threads}")
    kind = "bfloat16" if facts["bf16"] else "float32 (no bfloat16 instructions found)"
    scale = os.environ.get("SCALE", "laptop")
    print(f"chosen       device {facts['device']}, {kind}, scale {scale}")
    broken = 0
    for name, check in checks():
        try:
            print(f"ok      {name:15s} {check()}")
        except ValueError as error:
            broken += 1
            print(f"BROKEN  {name:15s} {error}")
    print("everything works" if not broken else f"{broken} to mend")
    return int(broken > 0)
