"""The package as pip makes it: complete, with its checkpoints, and lean at its core."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from o1lib.lab.paths import PACKAGE, ROOT, code_version, data_dir, in_checkout

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
# What only extras bring: the core must do without.
OPTIONAL = (
    "matplotlib", "pandas", "IPython", "ipywidgets", "papermill", "nbconvert", "nbclient",
    "nbformat", "latex2mathml", "jinja2", "trl", "accelerate", "datasets", "nbgrader", "pytest",
)  # fmt: skip
NEED_EXTRAS = re.compile(
    r"o1lib\.(viz|exercises|backends|__main__|lab\.(notebooks|pages|frontpage))\b"
)


def elsewhere(tmp_path, code: str, *more_path: str) -> subprocess.CompletedProcess:
    """Run Python code away from the checkout."""
    path = os.pathsep.join(map(str, more_path))
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def test_every_folder_is_packaged():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert {*PROJECT["tool"]["setuptools"]["packages"]} == names | {"o1lib._data"}


def test_every_dependency_is_pinned_and_the_pins_agree():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    wanted = [*PROJECT["project"]["dependencies"]]
    wanted += [text for extra, texts in EXTRAS.items() if extra != "teach" for text in texts]
    needed = [Requirement(text) for text in wanted]
    for requirement in needed:
        assert pins[requirement.name] in requirement.specifier, requirement
    assert set(pins) == {requirement.name for requirement in needed}


def test_the_core_needs_no_extras(tmp_path):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    core = [name for name in modules if not NEED_EXTRAS.match(name)]
    # `o1lib.bench_rl` and `o1lib.recipes.with_trl` meet TRL only where they measure it.
    code = (
        f"import sys, importlib\nfor name in {OPTIONAL}: sys.modules[name] = None\n"
        f"for name in {core}: importlib.import_module(name)\n"
        "from o1lib.lab.results import report\nprint('fine')"
    )
    done = elsewhere(tmp_path, code, ROOT)
    assert done.stdout.endswith("fine\n"), done.stderr


def test_an_installed_package_finds_its_checkpoints(tmp_path):
    """A wheel, built and installed, away from the checkout."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "o1lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data", source / "data")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source], check=True
    )
    [wheel] = tmp_path.glob("o1lib-*.whl")
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    shutil.rmtree(source)
    code = (
        "import sys\nfrom o1lib.cli import main\n"
        "arguments = ['--puzzles', 'val_inputs:3:5', '--checkpoint', 'nano-think', '--out', 'r']\n"
        "main(['evaluate', *arguments], standalone_mode=False)\n"
        "import o1lib; from o1lib.lab import paths\n"
        "print(o1lib.__file__, paths.in_checkout(), paths.outputs_dir(), paths.code_version())"
    )
    here = tmp_path / "here"
    here.mkdir()
    done = elsewhere(here, code, target)
    assert done.returncode == 0, done.stderr
    assert "of 5 correct" in done.stdout
    where, checkout, outputs, version = done.stdout.split("\n")[1].split(" ")
    assert where.startswith(str(target))
    assert checkout == "False"
    assert Path(outputs) == here / "outputs" / "laptop"
    code_version.cache_clear()  # whoever edits while the tests run
    assert version == code_version()
    assert [path.name for path in here.iterdir()] == ["r"]


def test_in_the_checkout_data_is_data():
    assert in_checkout()
    if "O1LIB_DATA" not in os.environ:
        assert data_dir() == ROOT / "data"


# To be `PACKAGE.rglob`, once every folder does.
TIDY = [p for folder in ("lab", "cli") for p in sorted((PACKAGE / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", [p for p in TIDY if p.stem != "runlog"], ids=lambda p: p.stem)
def test_text_files_are_utf8(path):
    """Whatever the code page: `open`, `read_text` and `write_text` name their encoding."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        method = call.func.attr if isinstance(call.func, ast.Attribute) else None
        function = call.func.id if isinstance(call.func, ast.Name) else None
        on = ast.unparse(call.func)
        if on == "formatter.write_text" or not (
            method in ("open", "read_text", "write_text") or function == "open"
        ):
            continue
        binary = any(isinstance(a, ast.Constant) and "b" in str(a.value)[:3] for a in call.args)
        assert binary or any(k.arg == "encoding" for k in call.keywords), ast.unparse(call)
