"""Jobs on several GPUs: each process sees one, results come in order, an error ends them."""

import os
from functools import partial

import pytest

from pixelflow.experiments import _gpus


class Work:
    """Says where it was done."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, number):
        if number < 0:
            raise ValueError(f"{number} is negative")
        return self.scale * number, os.environ.get(_gpus.VISIBLE), os.getpid()


@pytest.fixture
def several(monkeypatch):
    monkeypatch.setattr(_gpus, "gpus", lambda: ["3", "5"])


def test_each_process_sees_one_gpu(several):
    found = list(_gpus.map_jobs(partial(Work, 10), [(i,) for i in range(12)]))
    assert [value for value, _, _ in found] == [10 * i for i in range(12)]
    seen = {pid: gpu for _, gpu, pid in found}
    assert set(seen.values()) <= {"3", "5"} and len(set(seen.values())) == len(seen)
    assert os.getpid() not in seen


def test_an_error_on_a_gpu_is_raised_here(several):
    with pytest.raises(ValueError, match="-1 is negative"):
        list(_gpus.map_jobs(partial(Work, 1), [(1,), (-1,), (2,)]))


@pytest.mark.parametrize("found", [[], ["0"]])
def test_with_one_gpu_or_none_nothing_is_started(found, monkeypatch):
    monkeypatch.setattr(_gpus, "gpus", lambda: found)
    done = list(_gpus.map_jobs(partial(Work, 2), [(1,), (2,)]))
    assert [(value, pid) for value, _, pid in done] == [(2, os.getpid()), (4, os.getpid())]


def test_gpus_are_those_that_cuda_may_use(monkeypatch):
    class Runtime:
        cuda = runtime = property(lambda self: self)

        def getDeviceCount(self):
            return 2

    monkeypatch.setattr(_gpus, "available_backends", lambda: {"cuda": "two"})
    monkeypatch.setattr(_gpus, "import_module", lambda name: Runtime())
    monkeypatch.delenv(_gpus.VISIBLE, raising=False)
    assert _gpus.gpus() == ["0", "1"]
    monkeypatch.setenv(_gpus.VISIBLE, "4,6")
    assert _gpus.gpus() == ["4", "6"]
    monkeypatch.setattr(_gpus, "available_backends", lambda: {"cpu": "one"})
    assert _gpus.gpus() == []
