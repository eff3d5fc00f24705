"""The set-up holds together: the lock, the core dependencies, the Makefile, the notebooks."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = [Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if line[0] not in " #"]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("extra", ["dependencies", "workflow", "dev"])
def test_lock_pins_what_pyproject_asks_for(extra: str, python: str) -> None:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }
    pins = [pin for pin in LOCKED if pin.marker is None or pin.marker.evaluate(environment)]
    wanted = PROJECT["dependencies"] if extra == "dependencies" else EXTRAS[extra]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        versions = [str(pin.specifier).removeprefix("==") for pin in pins if pin.name == name]
        assert len(versions) == 1, f"{name}: {versions} in requirements.lock: run `make lock`"
        assert requirement.specifier.contains(versions[0]), f"{requirement}: run `make lock`"


def test_lock_is_pins_and_hashes_alone() -> None:
    """No address, option or path: the installer's own settings say where packages come from."""
    pin = r"[a-z0-9-]+==[\w.]+( ; [^/\\]+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+"
    assert re.fullmatch(rf"(#[^/\n]*\n)*({pin})+", LOCK)
    assert not {"torch", "torchvision"} & {requirement.name for requirement in LOCKED}


EVERY_MODULE = """
import importlib, pkgutil
import pixelflow
for name in ["matplotlib", "snakemake", "pooch", "psutil", "pandas", "skfmm", "IPython"]:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " was not blocked")
for module in pkgutil.walk_packages(pixelflow.__path__, "pixelflow."):
    if module.name != "pixelflow.plotting":  # Matplotlib's one place
        importlib.import_module(module.name)
"""


def test_every_module_needs_only_the_core_dependencies() -> None:
    names = json.dumps([Requirement(line).name for line in PROJECT["dependencies"]])
    command = [sys.executable, ROOT / "tests" / "only_core.py", names, EVERY_MODULE]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


FAKE_PYTHON = """#!/bin/sh
# Stands for python3 and, copied, for .venv/bin/python: installing fails where `broken` exists.
echo "$*" >> asked
case "$*" in
    "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *install*) test ! -e broken ;;
esac
"""


def test_setup_is_stamped_only_when_complete(tmp_path: Path) -> None:
    """Done once, redone when the lock changes, and from the start after one that was cut short."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python3"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    stamp = tmp_path / ".venv/.installed"
    leftover = tmp_path / ".venv/leftover"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}

    def make(*options: str) -> int:
        command = ["make", *options, f"PYTHON={python}", ".venv/.installed"]
        return subprocess.run(command, cwd=tmp_path, env=environment).returncode

    (tmp_path / "broken").touch()
    assert make() != 0
    assert not stamp.exists()
    leftover.touch()
    (tmp_path / "broken").unlink()
    assert make() == 0
    assert stamp.exists() and not leftover.exists()
    assert make("--question") == 0, "a second run has nothing to do"

    leftover.touch()
    os.utime(stamp, (0, 0))
    assert make("--question") == 1, "a changed lock is installed"
    assert make() == 0
    assert leftover.exists(), "in place"

    (tmp_path / "broken").touch()
    os.utime(stamp, (0, 0))
    assert make() != 0
    assert not stamp.exists(), "an update that was cut short"


def test_setup_installs_nothing_without_its_hash(tmp_path: Path) -> None:
    """What scikit-fmm is built with neither: pip fetches that unverified where it builds apart."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name, text in (("python3", FAKE_PYTHON), ("c++", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["make", ".venv/.installed"], cwd=tmp_path, env=environment, check=True)
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if " install " in line]
    libraries, last, ours = asked
    assert "--require-hashes" in libraries and "--require-hashes" in last
    assert "--no-deps --no-build-isolation" in last and ours.endswith("--editable .")
    assert "--no-deps --no-build-isolation" in ours
    parts = [(tmp_path / line.split()[-1]).read_text() for line in (libraries, last)]
    assert sorted("".join(parts).splitlines()) == sorted(LOCK.splitlines())
    assert [line.split("==")[0] for line in parts[1].splitlines() if "==" in line] == ["scikit-fmm"]
    assert {"numpy", "meson-python", "ninja", "hatchling", "editables"} <= {p.name for p in LOCKED}


def test_setup_says_which_system_packages_to_install(tmp_path: Path) -> None:
    """Where there is neither LaTeX nor apt; and goes on, as only the PDF needs it."""
    for name in ("bash", "id", "uname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    script = ROOT / "workflow" / "scripts" / "system_packages.sh"
    done = subprocess.run(
        [tmp_path / "bash", script, sys.executable],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said, command = done.stdout.splitlines()
    assert said.startswith("System packages are missing")
    assert "sudo apt-get install -y" in command
    for package in ("latexmk", "texlive-latex-recommended", "texlive-fonts-recommended", "g++"):
        assert f" {package}" in command


def test_notebooks_are_committed_without_outputs() -> None:
    names = subprocess.run(
        ["git", "ls-files", "*.ipynb"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert names
    for name in names:
        for cell in json.loads((ROOT / name).read_text())["cells"]:
            ran = cell.get("outputs") or cell.get("execution_count")
            assert not ran, f"{name} has outputs: run `.venv/bin/nbstripout {name}`"
