"""An environment that stands for that of the field's package."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FAKE = '''
"""Stands for the field's package: its features are the inputs' sums; 13 inputs are too many."""
import os, sys
from dataclasses import dataclass
import numpy as np

@dataclass
class ReservoirConfig:
    width: int
    height: int
    channels: int
    steps: int
    rule: str
    input_encoding: str

class Reservoir:
    def __init__(self, config, backend):
        self.size = config.width * config.height * config.channels

    def transform(self, X):
        print("not an answer")
        if len(X) == 13:
            print("Killed: out of memory", file=sys.stderr)
            sys.stderr.flush()
            os._exit(3)
        return np.repeat(X.sum(1, keepdims=True), self.size, axis=1)
'''


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """An environment whose `pixelflow` is the fake one, and which sees our NumPy."""
    folder = tmp_path_factory.mktemp("field") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "pixelflow").mkdir()
    (site / "pixelflow" / "__init__.py").write_text(FAKE)
    (site / "pixelflow_rc-0.3.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: pixelflow-rc\nVersion: 0.3.0\n"
    (site / "pixelflow_rc-0.3.0.dist-info" / "METADATA").write_text(metadata)
    (site / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
    return folder


@pytest.fixture
def field(environment, monkeypatch):
    """That environment as the field's, with our package on PYTHONPATH as the workflow has it."""
    monkeypatch.setenv("PIXELFLOW_RC_PYTHON", str(environment / "bin" / "python"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return environment
