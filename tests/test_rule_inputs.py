"""Each rule names as inputs the package's modules that it runs, as Snakemake sees no imports."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, checkout

SCRIPT = re.compile(r"(?<= )(?:workflow/scripts|notebooks)/\w+\.(?:py|ipynb)")
EXPERIMENT = re.compile(r"experiments\.run\(\"(\w+)\"")
MODULE = re.compile(r"-m (pixelflow[\w.]*)")


def file_of(module):
    """The file of one of our modules or scripts, or None."""
    path = module.replace(".", "/")
    for name in (f"{path}.py", f"{path}/__init__.py", f"workflow/scripts/{path}.py"):
        if (ROOT / name).is_file():
            return name
    return None


def package_of(name):
    """The package that a file is in: pixelflow.core for pixelflow/core/rules.py."""
    return ".".join(Path(name).parts[:-1])


def code_of(name):
    text = (ROOT / name).read_text()
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    return text


def imports(name):
    """The files that a file runs: those that it imports names of, and those that it names itself.

    The packages around an imported module only pass names on, so they don't count.
    """
    if not name.endswith((".py", ".ipynb")):
        return
    for node in ast.walk(ast.parse(code_of(name))):
        if isinstance(node, ast.Import):
            yield from filter(None, (file_of(alias.name) for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(relative, package_of(name))
            below = [f"{module}.{alias.name}" for alias in node.names]
            yield from filter(None, (file_of(one) or file_of(module) for one in below))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from named(node.value, name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from chosen(node.args[0], name)


def named(text, name):
    """The file that a string names: a module to run with `-m`, or a file beside this one."""
    if re.fullmatch(r"pixelflow(\.\w+)+", text):
        if (ROOT / text.replace(".", "/") / "__main__.py").is_file():
            yield f"{text.replace('.', '/')}/__main__.py"
        yield from filter(None, [file_of(text)])
    elif re.fullmatch(r"\w*\.(py|cuh)", text):  # of a header, only the ending may be there
        beside = (ROOT / name).parent.glob(f"*{text}" if text == ".cuh" else text)
        yield from (path.relative_to(ROOT).as_posix() for path in beside)


def chosen(argument, name):
    """All modules of the package from which `import_module(f"{package}.{choice}")` takes one.

    Not those of `__name__`: pixelflow.experiments takes the experiment that the notebook names.
    """
    if not isinstance(argument, ast.JoinedStr):
        return
    text = ast.unparse(argument).strip("f'\"").replace("{__package__}", package_of(name))
    package = re.match(r"[\w.]*", text)[0].rstrip(".")
    if not package.startswith("pixelflow"):
        return
    for pattern in ("*.py", "*/__init__.py"):
        for path in (ROOT / package.replace(".", "/")).glob(pattern):
            yield path.relative_to(ROOT).as_posix()


def needed(names):
    """The package's files that these run, however deep."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(name)
    return {name for name in found if name.startswith("pixelflow/")} | set(names)


CORES = 3


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """What Snakemake says it would run: each job with its inputs, threads and command."""
    folder = tmp_path_factory.mktemp("project")
    checkout(folder)
    for path in folder.glob("workflow/rules/*.smk"):  # a rule with a message tells no inputs
        path.write_text(re.sub(r"    message:\n        .*\n", "", path.read_text()))
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--forceall", "--cores", f"{CORES}"]
    command += ["--configfile", "config/smoke.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def jobs(log):
    """For each rule that runs Python of ours, its inputs and the files that its command names."""
    found = {}
    job = r"^rule (\w+):\n    input: (.*)\n(?:    .*\n)*\s*Shell command: (.*)$"
    for rule, inputs, shell in re.findall(job, log, re.MULTILINE):
        runs = {*SCRIPT.findall(shell), *map(file_of, MODULE.findall(shell))}
        for notebook in [name for name in runs if name.endswith(".ipynb")]:
            (experiment,) = set(EXPERIMENT.findall(code_of(notebook)))
            runs.add(f"pixelflow/experiments/{experiment}.py")
        found[rule] = set(inputs.split(", ")), runs
    return {rule: both for rule, both in found.items() if both[1]}


def test_every_rule_names_the_modules_that_it_runs(jobs):
    missing = {rule: needed(runs) - inputs for rule, (inputs, runs) in jobs.items()}
    assert {rule: sorted(names) for rule, names in missing.items() if names} == {}


def test_no_rule_names_a_folder_that_it_does_not_run(jobs):
    """So an edit of a folder's code repeats only the rules that run some of it."""

    def folders(names):
        return {str(Path(name).parent) for name in names if name.startswith("pixelflow/")}

    extra = {rule: folders(inputs) - folders(needed(runs)) for rule, (inputs, runs) in jobs.items()}
    assert {rule: sorted(names) for rule, names in extra.items() if names} == {}


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


def test_rules_that_measure_times_take_all_cores(log):
    """So nothing runs beside them; a rule that says nothing takes one."""
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n)*)", log, re.MULTILINE)
    threads = {rule: re.findall(r"    threads: (\d+)", lines) for rule, lines in jobs}
    timed = {"mnist", "fashion_mnist", "cifar10", "published", "speed"}
    assert {rule: n for rule, n in threads.items() if n} == {name: [f"{CORES}"] for name in timed}


@pytest.mark.parametrize("command", ["--summary", "--rulegraph", "--unlock"])
def test_commands_that_start_no_jobs_need_no_cores(tmp_path, command):
    checkout(tmp_path)
    line = [sys.executable, "-m", "snakemake", command]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_are_followed():
    """Inside functions, too, and through what only imports others."""
    found = needed(["notebooks/mnist.ipynb"])
    for name in ("experiments/mnist", "experiments/_gpus", "experiments/_kept", "models/affine"):
        assert f"pixelflow/{name}.py" in found
    assert "pixelflow/tasks/synthetic.py" not in found


def test_modules_that_are_named_and_not_imported_are_followed():
    """A backend that is chosen, a module run with `-m`, a script, a CUDA header."""
    found = needed(["pixelflow/experiments/speed.py"])
    for name in (
        *("backends/cuda/__init__.py", "backends/cuda/launch.py", "backends/cpu.py"),
        *("experiments/_speed/peers/__main__.py", "experiments/_speed/peers/with_jax.py"),
        *("experiments/_speed/field_timing.py", "backends/cuda/common.cuh"),
    ):
        assert f"pixelflow/{name}" in found, name
    assert "pixelflow/experiments/eikonal.py" not in found


def test_relative_imports_are_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    folder = tmp_path / "pixelflow" / "core"
    folder.mkdir(parents=True)
    for name in ("one.py", "two.py", "three.py"):
        (folder / name).write_text("")
    (folder / "one.py").write_text("from . import two\nfrom ..core.three import x\n")
    assert set(imports("pixelflow/core/one.py")) == {
        f"pixelflow/core/{n}.py" for n in ("two", "three")
    }
