"""The config, and what every rule of an experiment depends on."""

import json
import os
import runpy
import sys
from pathlib import Path

# jsonschema takes it for formats, which the schema has none of, and it takes seconds to import.
sys.modules["rfc3987_syntax"] = None
import jsonschema
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

HERE = Path(workflow.basedir).resolve()
if HERE != Path.cwd().resolve():  # its rules name files from there
    raise WorkflowError(f"This workflow runs in its own folder; type: snakemake -d {HERE} ...")

# Snakemake would merge a --configfile into this one, and the union of two lists of models is
# neither's.
if not workflow.overwrite_configfiles:

    configfile: "config/paper.yaml"


def check(config):
    """Refuse a config with a key that is misspelt, missing or of the wrong kind."""
    # By its path, because importing the package takes a second, for every job.
    lines = runpy.run_path("pixelflow/experiments/_schema.py")["problems"](config)
    if lines:
        raise WorkflowError("The config is wrong.", *lines)


check(config)

# `--report`, `--summary`, `--unlock` and the like start no jobs, so they may come without --cores.
try:
    ALL_CORES = workflow.cores
except WorkflowError:
    ALL_CORES = 1

PYTHON = sys.executable
ROOT = os.getcwd()

# What runs is this checkout, the files that the rules name, whatever else is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
# Jobs end when this process does: see workflow/scripts/build.py.
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


FILES = modules("files.py", "checks.py")
RESULT_FILES = [*FILES, *modules("results.py")]
# By name, because the other modules of tasks/ are one data set or one problem each.
FETCH = [
    *FILES,
    *modules(*(f"tasks/{name}.py" for name in ("__init__", "fetch", "catalogue", "sources", "formats"))),
]
# Without __main__.py, which only prints what is installed.
RESERVOIR = modules("__init__.py", "[!_]*.py", "core/**/*.py", "backends/**/*.py", "backends/**/*.cuh")
EXPERIMENT = [*RESERVOIR, *FETCH, *modules("experiments/__init__.py", "experiments/_schema.py")]
LEARNING = modules("readouts/**/*.py", "models/**/*.py")
PLOTTING = modules("plotting/**/*.py")
# Here because two files of rules use it: the script that draws recorded results imports `speed`.
SPEED = [
    *EXPERIMENT,
    *LEARNING,
    *modules("experiments/speed.py", "experiments/_speed/**/*.py", "tasks/mnist.py"),
]
RUNNER = "workflow/scripts/run_notebook.py"
RUN_NOTEBOOK = (
    "{PYTHON:q} {input.runner} {input.notebook} {output.notebook}"
    " --parameters {params.parameters:q} > {log} 2>&1"
)


def parameters(name, figures=True):
    """What the notebook of an experiment is given, as JSON; a change of it runs the rule again."""
    given = {"config": {**config[name], "seed": config["seed"]}, "out": f"results/{name}.json"}
    return json.dumps({**given, "figures": "results/figures"} if figures else given)


def shown(path, experiment, what, caption, category):
    """An output that the report shows."""
    labels = {"Experiment": experiment, "What": what}
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels)
