"""Write the results as LaTeX macros: one macro for every number and name.

A macro is named by the path of its key: `accuracy` of the model `wave` of the experiment `mnist` is
\\MnistWaveAccuracy. Digits are spelled out. `Config` or `Provenance` follows the experiment's name.
Macros of results that were recorded on another device begin with \\Recorded and the device's name.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelflow import results
from pixelflow.files import written_whole

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
ESCAPED = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def macro_name(path: Sequence[str]) -> str:
    """A name of letters only: ("mnist", "wave", "n_test") is MnistWaveNTest, "x2" is XTwo."""
    words = [word for part in path for word in re.findall("[A-Za-z]+|[0-9]", part)]
    return "".join(DIGITS[int(w)] if w.isdigit() else w[0].upper() + w[1:] for w in words)


def text(key: str, value: Any) -> str:
    """A value as LaTeX: .9281 for an accuracy, one decimal for seconds, 60,000 for a count."""
    if value is None:
        return "--"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "{,}")
    if isinstance(value, float):
        return _decimal(key, value)
    if key == "commit" or key.endswith("sha256"):
        value = value[:10]
    return value.translate(str.maketrans(ESCAPED))


def _decimal(key: str, value: float) -> str:
    if key in ("p", "p_holm"):
        return probability(value)
    if key.endswith("accuracy"):
        return fraction(value, signed=key.startswith(("difference", "off_by")))
    if key.startswith("error") or key == "non_affine":
        return fraction(value)
    if key.endswith("_s"):
        return f"{value:.1f}"
    if "_over_" in key:  # a ratio of two times
        return f"{value:.3g}"
    digits, _, exponent = f"{value:.4g}".partition("e")
    return rf"\ensuremath{{{digits}\times 10^{{{int(exponent)}}}}}" if exponent else digits


def fraction(value: float, digits: int = 4, signed: bool = False) -> str:
    """.9281 for 0.9281, with a minus sign of LaTeX, and a plus if `signed`; zero has no sign."""
    size = re.sub(r"^0\.", ".", f"{abs(value):.{digits}f}")
    if not float(size):
        return size
    if value < 0:
        return rf"\ensuremath{{-}}{size}"
    return rf"\ensuremath{{+}}{size}" if signed else size


def probability(p: float) -> str:
    """A p-value with two digits, or that it is below .0001."""
    if p < 1e-4:
        return r"\ensuremath{<}.0001"
    return re.sub(r"^0\.", ".", f"{p:.2g}") if p < 1 else "1"


def leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every number, name and plain list below a key, with its path.

    In a list, a row is named by its `model`, and by its seed if the model has several rows. Other
    items are named by their position.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves((*path, key), item)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        models = Counter(item.get("model") for item in value if isinstance(item, Mapping))
        for i, item in enumerate(value):
            if isinstance(item, Mapping) and "model" in item:
                seed = [f"seed{item['seed']}"] if models[item["model"]] > 1 else []
                yield from leaves((*path[:-1], item["model"], *seed), item)
            else:
                yield from leaves((*path, str(i)), item)
    else:
        yield path, value


def printed(key: str, value: Any) -> str:
    """A number, name or plain list as LaTeX."""
    if isinstance(value, list):
        return ", ".join(text(key, item) for item in value) or "--"
    return text(key, value)


def macros(result: Mapping[str, Any], prefix: Sequence[str] = ()) -> dict[str, str]:
    """The macros of one result, by name; each name begins with `prefix`."""
    name = result["experiment"]
    found: dict[str, str] = {}
    for section in ("metrics", "config", "provenance"):
        top = (*prefix, name) if section == "metrics" else (*prefix, name, section)
        for path, value in leaves(top, result[section]):
            macro = macro_name(path)
            if macro in found:
                raise ValueError(
                    f"two values of {name} would have the macro \\{macro}; one is {'.'.join(path)}"
                )
            found[macro] = printed(path[-1], value)
    return found


def device(path: Path) -> str | None:
    """The device of results/recorded/DEVICE/NAME.json; None for a result of this run."""
    return path.parts[-2] if "recorded" in path.parts else None


def check_config(path: Path, result: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise ValueError if a result was computed with another config than this one."""
    name = result["experiment"]
    wanted = {**config.get(name, {}), "seed": config["seed"]}
    used = result["config"]
    keys = sorted(
        key
        for key in {*wanted, *used}
        if key not in wanted or key not in used or wanted[key] != used[key]
    )
    if keys:
        raise ValueError(
            f"{path} was computed with another config (it differs in: {', '.join(keys)}); "
            "delete it and run again"
        )


def read_all(paths: Sequence[Path], config: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """The results by path. Those that were not recorded must have been computed with `config`."""
    found = {path: results.read(path) for path in paths}
    for path, result in found.items():
        if device(path) is None:
            check_config(path, result, config)
    return found


def parse(description: str | None, out_help: str) -> argparse.Namespace:
    """Parse the command line that macros.py and tables.py have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="result files")
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, JSON")
    parser.add_argument("--out", type=Path, required=True, help=out_help)
    return parser.parse_args()


def main() -> None:
    arguments = parse(__doc__, "the file of macros")
    found: dict[str, str] = {}
    for path, result in read_all(arguments.results, arguments.config).items():
        where = device(path)
        found |= macros(result, ("recorded", where) if where else ())
    lines = [f"\\newcommand{{\\{name}}}{{{found[name]}}}\n" for name in sorted(found)]
    with written_whole(arguments.out) as temporary:
        content = "% Built from the results; do not edit.\n" + "".join(lines)
        temporary.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
