"""Results recorded on other devices: whole, and of the config that records them again."""

import importlib
import sys
from pathlib import Path

import pytest
import yaml

from pixelflow import results

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
recorded_figures = importlib.import_module("recorded_figures")
RECORDED = sorted((ROOT / "results" / "recorded").glob("*/*.json"))


def test_every_device_has_a_config_and_results():
    configs = {path.stem for path in (ROOT / "config" / "recorded").glob("*.yaml")}
    assert configs == {path.parent.name for path in RECORDED} != set()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_result_is_of_its_devices_config(path):
    result = results.read(path)
    config = yaml.safe_load((ROOT / "config" / "recorded" / f"{path.parent.name}.yaml").read_text())
    assert result["experiment"] == path.stem
    assert result["config"] == {**config[path.stem], "seed": config["seed"]}
    provenance = result["provenance"]
    assert provenance["cpu"]["model"] and provenance["sources_sha256"]
    names = [gpu["name"] for gpu in provenance["gpu"] or ()]
    device = path.parent.name
    assert all(device.upper() in name for name in names) and bool(names) == (device != "epyc")


@pytest.mark.parametrize("whole", [True, False])
def test_figures_of_a_recorded_result_are_made_or_say_that_there_are_none(
    tmp_path, monkeypatch, whole
):
    """A result of before peers and devices were measured has none of what they show."""
    row = {"work": "w", "system": "pixelflow", "backend": "cuda", "out": "device"}
    point = {**row, "operations_per_byte": 3.0, "GBps": 2.0, "GFLOPs": 6.0}
    studies = {"points": [], "rounds": {}, "rule": "wave", "steps": 1, "n_max": {}}
    metrics = {"rows": [], "copy_GBps": 50.0}
    if whole:
        metrics |= {"roofline": [point], "device": {"copy_GBps": 9.0, "GFLOPs": 90.0}}
    path = tmp_path / "recorded" / "gpu" / "speed.json"
    results.save(path, results.wrap("speed", {"by_n": studies, "by_grid": studies}, metrics))
    monkeypatch.setattr(sys, "argv", ["x", str(path), "--out", str(tmp_path)])
    recorded_figures.main()
    for name in ("scaling", "roofline"):
        drawing = (tmp_path / f"speed_{name}_gpu.svg").read_text()
        assert ("<!-- not measured -->" in drawing) != whole
        assert (tmp_path / f"speed_{name}_gpu.pdf").read_bytes().startswith(b"%PDF")


def test_the_figure_of_recorded_banks(tmp_path, monkeypatch):
    """A line for the two that differ in members only, and one for the other."""
    small = {"tier": "random", "augment": None, "images": "grey", "n_train": None}
    small |= {"shown": ["figure"]}
    banks = {
        f"{name}_{members}": {**small, "reservoirs": [{"members": members, "rule": rule}]}
        for name, rule, members in (("a", "wave", 8), ("a", "wave", 2), ("b", "coupled", 2))
    }
    rows, summary = [], {}
    for name in ("raw_ridge", *(f"{name}{end}" for name in banks for end in ("", "_zero_steps"))):
        rows += [{"model": name, "D": 5, "fit_s": 1.5}, {"model": name, "D": 5, "fit_s": 2.5}]
        summary[name] = {"mean_accuracy": 0.9, "low_accuracy": 0.8, "high_accuracy": 1.2}
    path = tmp_path / "recorded" / "gpu" / "fashion_mnist.json"
    metrics = {"rows": rows, "summary": summary}
    results.save(path, results.wrap("fashion_mnist", {"banks": banks}, metrics))
    monkeypatch.setattr(sys, "argv", ["x", str(path), "--out", str(tmp_path)])
    recorded_figures.main()
    drawing = (tmp_path / "fashion_mnist_banks_gpu.svg").read_text()
    assert "<!-- a (random) -->" in drawing and "<!-- b 2 (random) -->" in drawing
    assert "<!-- raw pixels -->" in drawing and "<!-- the same, zero steps -->" in drawing
    assert "<!-- random features -->" not in drawing
    assert (tmp_path / "fashion_mnist_banks_gpu.pdf").read_bytes().startswith(b"%PDF")
