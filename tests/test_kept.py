"""What was finished is kept, for the same job, data and code alone."""

import subprocess
import sys

import numpy as np
import pytest

from pixelflow.core import ReservoirConfig
from pixelflow.experiments import _kept

CONFIG = ReservoirConfig(8, 8, rule="wave", members=2, medium={})
DATA = np.arange(12.0)


@pytest.fixture
def times(tmp_path, monkeypatch):
    """What was worked on, with a folder that keeps it."""
    monkeypatch.setenv(_kept.FOLDER, str(tmp_path))
    return []


def test_a_job_is_done_once(times):
    def work(*job):
        times.append(job)
        return len(times), np.arange(3)

    jobs = [({"tier": "random", "reservoirs": [1, 2]}, "a", seed, [CONFIG]) for seed in (0, 1)]
    first = [_kept.kept(work, job, _kept.digest("mnist", DATA)) for job in jobs]
    again = [_kept.kept(work, job, _kept.digest("mnist", DATA.copy())) for job in jobs]
    assert [n for n, _ in first] == [n for n, _ in again] == [1, 2]
    assert np.array_equal(again[0][1], np.arange(3)) and times == jobs


def test_other_data_jobs_or_code_are_done_again(times, monkeypatch):
    def work(*job):
        times.append(job)

    other = CONFIG.with_params(steps=3)
    for config, data in ((CONFIG, DATA), (other, DATA), (CONFIG, DATA + 1)):
        _kept.kept(work, ("a", 0, [config]), _kept.digest("mnist", data))
    monkeypatch.setattr(_kept, "sources_sha256", lambda: "edited")
    _kept.kept(work, ("a", 0, [CONFIG]), _kept.digest("mnist", DATA))
    assert len(times) == 4


def test_without_a_folder_nothing_is_kept(times, monkeypatch):
    monkeypatch.delenv(_kept.FOLDER)
    for _ in range(2):
        _kept.kept(times.append, ("a",), _kept.digest(DATA))
    assert times == ["a", "a"]


def test_hashes_are_the_same_in_every_process(times):
    said = "print(t._kept.digest('mnist', t.DATA, t.CONFIG, {'b': 1, 'a': 2}))"
    code = f"import sys; sys.path[:0] = {sys.path!r}; import test_kept as t; {said}"
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert {one.stdout.strip() for one in found} == {
        _kept.digest("mnist", DATA, CONFIG, {"a": 2, "b": 1})
    }
