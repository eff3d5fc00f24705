"""The workflow's rules name all sources of the package that they run: Snakemake sees no import."""

import ast
import json
import re
import subprocess
import sys

import pytest
from checkout import ROOT, checkout

SCRIPT = re.compile(r"(?<= )(?:workflow/scripts|notebooks)/\w+\.(?:py|ipynb)")
EXPERIMENT = re.compile(r"experiments\.run\(\"(\w+)\"")
MODULE = re.compile(r"-m (pixelflow[\w.]*)")


def source_of(module):
    """The file of one of our modules or scripts, or None."""
    path = module.replace(".", "/")
    for name in (f"{path}.py", f"{path}/__init__.py", f"workflow/scripts/{path}.py"):
        if (ROOT / name).is_file():
            return name
    return None


def code_of(name):
    text = (ROOT / name).read_text()
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return text


def imports(name):
    """The files that a file imports names of; packages around them only pass names on."""
    for node in ast.walk(ast.parse(code_of(name))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [one if source_of(one) else node.module for one in below]
        else:
            continue
        yield from filter(None, map(source_of, modules))


def needed(names):
    """The package's files that these run, however deep."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name)
    return {name for name in found if name.startswith("pixelflow/")} | set(names)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """For each rule that runs Python of ours, its inputs and the files that its command names."""
    folder = tmp_path_factory.mktemp("project")
    checkout(folder)
    for path in folder.glob("workflow/rules/*.smk"):  # a rule with a message tells no inputs
        path.write_text(re.sub(r"    message:\n        .*\n", "", path.read_text()))
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--forceall", "--cores", "1"]
    command += ["--configfile", "config/smoke.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    job = r"^rule (\w+):\n    input: (.*)\n(?:    .*\n)*\s*Shell command: (.*)$"
    for rule, inputs, shell in re.findall(job, done.stdout + done.stderr, re.MULTILINE):
        runs = {*SCRIPT.findall(shell), *map(source_of, MODULE.findall(shell))}
        for notebook in [name for name in runs if name.endswith(".ipynb")]:
            (experiment,) = set(EXPERIMENT.findall(code_of(notebook)))
            runs.add(f"pixelflow/experiments/{experiment}.py")
        found[rule] = set(inputs.split(", ")), runs
    return {rule: both for rule, both in found.items() if both[1]}


def test_every_rule_names_what_it_imports(jobs):
    missing = {rule: needed(runs) - inputs for rule, (inputs, runs) in jobs.items()}
    assert {rule: sorted(names) for rule, names in missing.items() if names} == {}


def test_rules_that_run_the_package_are_among_them(jobs):
    notebooks = {"mnist", "fashion_mnist", "cifar10", "published", "eikonal", "speed"}
    others = {"fetch_mnist", "fetch_fashion_mnist", "fetch_cifar10", "baseline", "recorded_banks"}
    others |= {"recorded_figures", "macros", "tables", "verify", "pages"}
    assert set(jobs) == notebooks | others
    assert jobs["published"][1] == {
        "notebooks/published.ipynb",
        "pixelflow/experiments/published.py",
        "workflow/scripts/run_notebook.py",
    }
    assert jobs["fetch_mnist"][1] == {"pixelflow/tasks/fetch.py"}


def test_imports_are_followed():
    """Inside functions, too, and through what only imports others."""
    found = needed(["notebooks/mnist.ipynb"])
    for name in ("experiments/mnist", "experiments/_gpus", "experiments/_kept", "models/affine"):
        assert f"pixelflow/{name}.py" in found
    assert "pixelflow/tasks/synthetic.py" not in found
