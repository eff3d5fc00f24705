"""What is handed on: wheel and sdist, the extras and their conda counterparts, the citation."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from checkout import checkout
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What conda calls otherwise, and what is no Python package.
CONDA = {
    "cupy-cuda12x": "cupy",
    "jupyter-client": "jupyter_client",
    "matplotlib": "matplotlib-base",
}
CONDA_ALONE = {"python", "pip", "cuda-version", "cxx-compiler", "make", "tectonic", "nodejs"}


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The checkout's files, and the sdist made of it and the wheel made of that, offline."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    names = checkout(source)
    for name in ("results/r.json", "data/MNIST/raw/x", ".venv/x", ".snakemake/x", "paper/build/x"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, cwd=source)
    (sdist,) = dist.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", dist, sdist)
    (wheel,) = dist.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", dist / "site", wheel)
    return set(names), sdist, wheel


def test_the_sdist_is_the_checkout(built):
    """All that rebuilds the paper, and nothing that was built or fetched."""
    names, sdist, _ = built
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert members == names | {"PKG-INFO"}
    for needed in ("Snakefile", "Makefile", "requirements.lock", "data/checksums.tsv"):
        assert needed in members


def test_the_wheel_is_the_package_and_its_licence(built):
    names, _, wheel = built
    members = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in members if ".dist-info/" not in name}
    assert package == {name for name in names if name.startswith("pixelflow/")}
    assert any(name.endswith("/licenses/LICENSE") for name in members)
    assert "pixelflow/py.typed" in package, "else type checkers ignore the annotations"


def test_the_wheel_runs_the_quickstart_on_the_core_dependencies(built, tmp_path):
    site = built[2].parent / "site"
    code = f"""
import runpy, sys, pixelflow
assert pixelflow.__file__.startswith({str(site)!r}), pixelflow.__file__
assert pixelflow.__version__ == {PROJECT["version"]!r}, pixelflow.__version__
runpy.run_path({str(ROOT / "examples" / "quickstart.py")!r})
sys.argv[1:] = ["--json"]
runpy.run_module("pixelflow", run_name="__main__")
"""
    names = json.dumps([Requirement(line).name for line in PROJECT["dependencies"]])
    command = [sys.executable, ROOT / "tests" / "only_core.py", names, code]
    printed = run(*command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)})
    accuracy, _, status = printed.partition("\n")
    assert float(accuracy.removeprefix("accuracy: ")) >= 0.95
    found = json.loads(status)
    assert found["machine"]["folder"] == str(site / "pixelflow")
    assert found["machine"]["git"]["commit"] is None
    assert {"core", *EXTRAS} - {"all", "dev"} == set(found["packages"])


NOT_INSTALLED = """
import importlib.metadata
from importlib.metadata import PackageNotFoundError, version

def version_of_others(name):
    if name == "pixelflow":
        raise PackageNotFoundError(name)
    return version(name)

importlib.metadata.version = version_of_others
import pixelflow
print(pixelflow.__version__)
"""


def test_a_checkout_that_is_not_installed_has_a_version_too():
    command = [sys.executable, "-c", NOT_INSTALLED]
    printed = run(*command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert Version(printed).local == "unknown"


def test_the_extra_all_is_every_extra_but_dev():
    (every,) = map(Requirement, EXTRAS["all"])
    assert every.name == PROJECT["name"]
    assert every.extras == set(EXTRAS) - {"all", "dev"}


def test_environment_yml_names_what_pyproject_does():
    """Each package under conda's name, with the same versions, and nothing unaccounted for."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "bioconda"]
    parts = [re.fullmatch(r"([a-z0-9_-]+)(.*)", line) for line in environment["dependencies"]]
    found = {part[1]: part[2] for part in parts}
    assert len(found) == len(parts), "a package twice"
    extras = [line for extra in EXTRAS if extra != "all" for line in EXTRAS[extra]]
    wanted = [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]
    named = {CONDA.get(w.name, w.name): str(w.specifier) for w in wanted}
    assert {name: found.get(name) for name in named} == named
    assert set(found) - set(named) == CONDA_ALONE
    assert found["python"] == PROJECT["requires-python"]
    cuda = next(w.name for w in wanted if w.name.startswith("cupy-cuda"))
    assert found["cuda-version"] == f"={re.findall(r'[0-9]+', cuda)[0]}"
    assert not re.search(r"://|\.(org|com|io)\b", (ROOT / "environment.yml").read_text())


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation), "CFF's required keys"
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)
