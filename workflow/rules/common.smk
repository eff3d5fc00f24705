"""The config, and what every rule of an experiment depends on."""

import json
import os
import sys
from pathlib import Path

import jsonschema
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

# Snakemake would merge a --configfile into this one, and the union of two lists of models is
# neither's.
if not workflow.overwrite_configfiles:

    configfile: "config/paper.yaml"


def check(config):
    """Refuse a config with a key that is misspelt, missing or of the wrong kind."""
    schema = yaml.safe_load(Path("workflow/schemas/config.schema.yaml").read_text())
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(config))
    errors.sort(key=lambda e: e.validator != "additionalProperties")  # what is misspelt first
    lines = [f"{'.'.join(map(str, e.absolute_path)) or 'top level'}: {e.message}" for e in errors]
    if lines:
        raise WorkflowError("The config is wrong.", *lines)


check(config)

PYTHON = sys.executable
ROOT = os.getcwd()

# What runs is this checkout, the files that the rules name, whatever else is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
# Jobs end when this process does: see workflow/scripts/build.py.
os.environ.setdefault("PIXELFLOW_RUN", f"{os.getpid()}:{ROOT}")


def package(*patterns):
    """Source files of the package, which Snakemake doesn't see being imported."""
    return sorted(str(path) for pattern in patterns for path in Path("pixelflow").glob(pattern))


SHARED = package(
    "*.py", "core/**/*.py", "backends/**/*.py", "backends/**/*.cuh", "readouts/**/*.py",
    "models/*.py", "plotting/*.py", "experiments/__init__.py",
)
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
