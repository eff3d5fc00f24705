"""What sums and factors of a readout are kept in, by the machine."""

import fake_cupy
import numpy as np
import pytest

from pixelflow.readouts import arrays

SINGLE, DOUBLE = np.float32, np.float64
H100, H200, DESKTOP = (85e9, 2), (150e9, 2), (25e9, 64)


@pytest.mark.parametrize(
    ("size", "features", "expected"),
    [
        (1024, SINGLE, (DOUBLE, DOUBLE, DOUBLE)),
        (12288, SINGLE, (DOUBLE, SINGLE, SINGLE)),
        (12288, DOUBLE, (DOUBLE, DOUBLE, DOUBLE)),
        (24001, SINGLE, (SINGLE, SINGLE, SINGLE)),
    ],
)
def test_on_the_host(size, features, expected):
    found = arrays.sum_dtype(np, size), *_rest(np, size, features)
    assert found == expected


@pytest.mark.parametrize(
    ("gpu", "size", "expected"),
    [
        (H100, 49152, (DOUBLE, DOUBLE, DOUBLE)),
        (H100, 65536, (DOUBLE, DOUBLE, SINGLE)),
        (H100, 70000, (SINGLE, SINGLE, DOUBLE)),
        (H100, 80000, (SINGLE, SINGLE, SINGLE)),
        (H200, 65536, (DOUBLE, DOUBLE, DOUBLE)),
        (H200, 98304, (SINGLE, SINGLE, DOUBLE)),
        (DESKTOP, 12288, (DOUBLE, SINGLE, SINGLE)),
        (DESKTOP, 40000, (SINGLE, SINGLE, SINGLE)),
    ],
)
def test_on_a_gpu(gpu, size, expected, monkeypatch):
    cupy = fake_cupy.installed(monkeypatch)
    memory, ratio = gpu
    monkeypatch.setattr(fake_cupy.Device, "mem_info", (memory / 2, memory))
    monkeypatch.setattr(fake_cupy.Device, "attributes", {"SingleToDoublePrecisionPerfRatio": ratio})
    assert (arrays.sum_dtype(cupy, size), *_rest(cupy, size, SINGLE)) == expected


def _rest(xp, size, features):
    return arrays.product_dtype(xp, size, features), arrays.factor_dtype(xp, size, features)
