"""Check the config, and name the inputs that several rules have in common."""

import json
import os
import runpy
import sys
from pathlib import Path

# jsonschema imports it to check formats. That takes seconds, and our schema has no formats.
sys.modules["rfc3987_syntax"] = None
import jsonschema
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

HERE = Path(workflow.basedir).resolve()
if HERE != Path.cwd().resolve():  # the rules name files relative to it
    raise WorkflowError(f"This workflow must run in its own folder; type: snakemake -d {HERE} ...")

# Only without --configfile: Snakemake would merge both, and the run would have the models of both.
if not workflow.overwrite_configfiles:

    configfile: "config/paper.yaml"


def check(config):
    """Raise WorkflowError if a key of the config is misspelt, missing or of the wrong type."""
    # Run from its path, because every job would need a second to import the package.
    lines = runpy.run_path("pixelflow/experiments/_schema.py")["problems"](config)
    if lines:
        raise WorkflowError("The config has errors:", *lines)


check(config)

# `--report`, `--summary`, `--unlock` and the like start no jobs, so they may come without --cores.
try:
    ALL_CORES = workflow.cores
except WorkflowError:
    ALL_CORES = 1

PYTHON = sys.executable
ROOT = os.getcwd()

# Jobs import the package from here, because the rules name these files, not an installed copy.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
# So that jobs end when this process ends; see workflow/scripts/build.py.
os.environ.setdefault("PIXELFLOW_RUN", f"{os.getpid()}:{ROOT}")


def modules(*patterns):
    """The package's files that match, as inputs, because Snakemake does not see imports.

    A whole folder is named by a pattern, so that a new module counts at once. A rule names only the
    folders that it runs. tests/test_rule_inputs.py compares both with what is imported.
    """
    found = {pattern: sorted(map(str, Path("pixelflow").glob(pattern))) for pattern in patterns}
    for pattern, paths in found.items():
        if not paths:
            raise WorkflowError(f"No file matches pixelflow/{pattern}, which a rule needs.")
    return sorted({path for paths in found.values() for path in paths})


FILE_MODULES = modules("files.py", "checks.py")
RESULT_MODULES = [*FILE_MODULES, *modules("results.py")]
# By name, because the other modules of tasks/ are one data set or one problem each.
FETCH_MODULES = [
    *FILE_MODULES,
    *modules("tasks/__init__.py", "tasks/fetch.py", "tasks/catalogue.py"),
    *modules("tasks/sources.py", "tasks/formats.py"),
]
# Without __main__.py, which only prints what is installed.
RESERVOIR_MODULES = modules(
    "__init__.py", "[!_]*.py", "core/**/*.py", "backends/**/*.py", "backends/**/*.cuh"
)
EXPERIMENT_MODULES = [
    *RESERVOIR_MODULES,
    *FETCH_MODULES,
    *modules("experiments/__init__.py", "experiments/_schema.py"),
]
LEARNING_MODULES = modules("readouts/**/*.py", "models/**/*.py")
# Only for rules that draw: a notebook draws what it has just computed, so an edit runs all of it.
PLOTTING_MODULES = modules("plotting/**/*.py")
# Here because two files of rules use it: the script that draws recorded results imports `speed`.
SPEED_MODULES = [
    *EXPERIMENT_MODULES,
    *LEARNING_MODULES,
    *modules("experiments/speed.py", "experiments/_speed/**/*.py", "tasks/mnist.py"),
]
RUNNER = "workflow/scripts/run_notebook.py"
RUN_NOTEBOOK = (
    "{PYTHON:q} {input.runner} {input.notebook} {output.notebook}"
    " --parameters {params.parameters:q} > {log} 2>&1"
)


def parameters(name, figures=True):
    """The parameters of an experiment's notebook as JSON; if they change, the rule runs again."""
    given = {"config": {**config[name], "seed": config["seed"]}, "out": f"results/{name}.json"}
    return json.dumps({**given, "figures": "results/figures"} if figures else given)


def in_report(path, experiment, what, caption, category):
    """Mark an output to be shown in the report."""
    labels = {"Experiment": experiment, "What": what}
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels)
