"""Results recorded on other devices: whole, and of the config that records them again."""

from pathlib import Path

import pytest
import yaml

from pixelflow import results

ROOT = Path(__file__).resolve().parents[1]
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
    assert bool(provenance["gpu"]) == (path.parent.name == "h100")
