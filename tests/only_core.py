"""Runs code with only the core dependencies importable: `only_core.py REQUIREMENTS CODE`."""

import importlib.metadata as metadata
import json
import re
import sys


def required(names):
    """The distributions of that name and all that they require, extras apart."""
    found, new = set(), set(names)
    while new:
        found |= new
        lines = [line for name in new for line in metadata.requires(name) or [] if ";" not in line]
        new = {canonical(re.match(r"[\w.-]+", line)[0]) for line in lines} - found
    return found


def canonical(name):
    return re.sub("[-_.]+", "-", name).lower()


class OnlyCore:
    """An import hook that refuses the modules of all other distributions."""

    def __init__(self, core):
        packages = metadata.packages_distributions().items()
        self.others = {name for name, dists in packages if not core & set(map(canonical, dists))}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.others:
            raise ModuleNotFoundError(f"{name} is not a core dependency", name=name)


if __name__ == "__main__":
    core = required(canonical(name) for name in json.loads(sys.argv[1]))
    sys.meta_path.insert(0, OnlyCore(core | {"pixelflow"}))
    exec(sys.argv[2])
