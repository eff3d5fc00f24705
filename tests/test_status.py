"""`python -m pixelflow`: what is here, also where something is missing or broken."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pixelflow.__main__ as status
from pixelflow import available_backends
from pixelflow.tasks.fetch import DATASETS

ROOT = Path(status.__file__).parents[1]


def run(folder, *arguments):
    """What it prints in another folder, with data below that folder."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PIXELFLOW_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "pixelflow", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def test_it_says_what_is_here(tmp_path):
    file = next(iter(DATASETS["mnist"].md5))
    folder = tmp_path / "data" / DATASETS["mnist"].folder
    folder.mkdir(parents=True)
    (folder / file).write_bytes(b"")
    found = json.loads(run(tmp_path, "--json"))
    backends = {name: entry["on"] for name, entry in found["backends"].items() if entry["runs"]}
    assert backends == available_backends()
    assert next(v for k, v in found["packages"]["core"].items() if k.startswith("numpy")) == (
        np.__version__
    )
    assert found["data"]["folder"] == str(tmp_path / "data")
    assert found["data"]["sets"]["mnist"] == {"files": 1, "of": 4}
    assert found["machine"]["cpu"]["cores"] >= 1


def test_and_what_to_type_for_what_is_not(tmp_path):
    printed = run(tmp_path)
    for name, on in available_backends().items():
        assert f"{name:10s} {on}" in printed
    for name in DATASETS:
        assert f"not fetched: python -m pixelflow.tasks.fetch {name}" in printed


def test_without_a_home_it_says_so_and_goes_on():
    tests = Path(__file__).parent
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{tests}"}
    script = "import without_home, runpy; runpy.run_module('pixelflow', run_name='__main__')"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"numba +Numba [\d.]+ on", done.stdout)
    assert re.search(r"FetchError: no folder for data .*: set \$PIXELFLOW_DATA", done.stdout)
    assert re.search("Cache: RuntimeError: .*home", done.stdout)
    script = "import without_home; from pixelflow.tasks import mnist; mnist.load()"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "FetchError: no folder for data" in done.stderr.splitlines()[-1]


def test_packages_by_extra(monkeypatch):
    lines = [
        "numpy>=2.0",
        "absent-one>=3; extra == 'gpu'",
        'absent-two>=1; sys_platform != "win32" and extra == "gpu"',
        "pixelflow[gpu]; extra == 'all'",
        "pytest>=8; extra == 'dev'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    found = status.packages()
    assert found == {
        "core": {"numpy>=2.0": np.__version__},
        "gpu": {"absent-one>=3": None, "absent-two>=1": None},
    }
    missing = "missing: pip install 'absent-one>=3' 'absent-two>=1'"
    assert missing in status.text({**status.status(), "packages": found})


@pytest.mark.parametrize("section", ["machine", "backends", "packages", "data", "cache"])
def test_a_section_that_fails_leaves_the_others(section, monkeypatch):
    whole = status.text(status.status())

    def fail(*_):
        raise OSError("libEGL.so.1: cannot open")

    if section == "cache":
        monkeypatch.setattr(status.platformdirs, "user_cache_dir", fail)
    elif section == "backends":
        monkeypatch.setattr(status, "get_backend", fail)
    else:
        monkeypatch.setattr(status, section, fail)
    text = status.text(status.status())
    assert "libEGL.so.1: cannot open" in text
    common = set(whole.splitlines()) & set(text.splitlines())
    others = {"machine": "CPU:", "backends": "  cpu", "packages": "  core", "data": "  mnist"}
    for name, start in others.items():
        assert any(line.startswith(start) for line in common) == (name != section)


def test_a_checkout_that_is_not_installed(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert status.packages()["core"]["numpy"] == np.__version__
