"""Figures of times recorded on another device: how they scale, and their roofline."""

from __future__ import annotations

import argparse
from pathlib import Path

from pixelflow import plotting, results
from pixelflow.experiments.speed import scaling_panels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="a recorded result of speed")
    parser.add_argument("--out", type=Path, required=True, help="the folder of figures")
    arguments = parser.parse_args()
    result = results.read(arguments.result)
    device = arguments.result.parent.name
    whole = "roofline" in result["metrics"]  # not so before the peers were measured too
    figures = {
        "scaling": plotting.scaling(scaling_panels(result) if whole else {}),
        "roofline": plotting.roofline(result if whole else None),
    }
    for name, figure in figures.items():
        plotting.save(figure, arguments.out / f"speed_{name}_{device}.pdf")


if __name__ == "__main__":
    main()
