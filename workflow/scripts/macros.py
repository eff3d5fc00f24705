"""Results to LaTeX: a macro for every number and name in them.

A macro is named by the key's path: `accuracy` of the model `wave` of the experiment `mnist` is
\\MnistWaveAccuracy, digits are spelled, `Config` and `Provenance` come after the experiment, and
the results recorded on another device begin with \\Recorded and its name.
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
SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def macro_name(path: Sequence[str]) -> str:
    """Letters only: ("mnist", "wave", "n_test") is MnistWaveNTest, "x2" is XTwo."""
    words = [word for part in path for word in re.findall("[A-Za-z]+|[0-9]", part)]
    return "".join(DIGITS[int(w)] if w.isdigit() else w[0].upper() + w[1:] for w in words)


def text(key: str, value: Any) -> str:
    """A value as it is printed: .9281 for an accuracy, one decimal for seconds, 60,000."""
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
    return value.translate(str.maketrans(SPECIAL))


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
    """.9281 for 0.9281, with a real minus sign, and a plus where asked; a printed zero has none."""
    size = re.sub(r"^0\.", ".", f"{abs(value):.{digits}f}")
    if not float(size):
        return size
    if value < 0:
        return rf"\ensuremath{{-}}{size}"
    return rf"\ensuremath{{+}}{size}" if signed else size


def probability(p: float) -> str:
    """A p-value with two digits, or as below one in ten thousand."""
    if p < 1e-4:
        return r"\ensuremath{<}.0001"
    return re.sub(r"^0\.", ".", f"{p:.2g}") if p < 1 else "1"


def leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every number, name and plain list below a key.

    A row is named by its `model`, with the seed where a model has several rows; others by number.
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
    """A leaf as it is printed."""
    if isinstance(value, list):
        return ", ".join(text(key, item) for item in value) or "--"
    return text(key, value)


def macros(result: Mapping[str, Any], above: Sequence[str] = ()) -> dict[str, str]:
    """The macros of one result, by name; `above` comes before all of them."""
    name = result["experiment"]
    found: dict[str, str] = {}
    for section in ("metrics", "config", "provenance"):
        top = (*above, name) if section == "metrics" else (*above, name, section)
        for path, value in leaves(top, result[section]):
            macro = macro_name(path)
            if macro in found:
                raise ValueError(f"two values of {name} have the macro \\{macro}: {'.'.join(path)}")
            found[macro] = printed(path[-1], value)
    return found


def device(path: Path) -> str | None:
    """The device of a recorded result, results/recorded/DEVICE/NAME.json; None for one of here."""
    return path.parts[-2] if "recorded" in path.parts else None


def check_config(path: Path, result: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """A number is printed only with the config that it was computed with."""
    name = result["experiment"]
    now = {**config.get(name, {}), "seed": config["seed"]}
    was = result["config"]
    keys = sorted(k for k in {*now, *was} if k not in now or k not in was or now[k] != was[k])
    if keys:
        raise ValueError(
            f"{path} was computed with another config (it differs in: {', '.join(keys)}); "
            f"delete it and run again"
        )


def read_all(paths: Sequence[Path], config: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """The results; those computed here must have the config that is asked for."""
    found = {path: results.read(path) for path in paths}
    for path, result in found.items():
        if device(path) is None:
            check_config(path, result, config)
    return found


def parse(description: str, out: str) -> argparse.Namespace:
    """The command line that the scripts have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULT")
    parser.add_argument("--config", type=json.loads, required=True, help="the whole config, JSON")
    parser.add_argument("--out", type=Path, required=True, help=out)
    return parser.parse_args()


def main() -> None:
    arguments = parse("Results to LaTeX macros.", "the file of macros")
    found: dict[str, str] = {}
    for path, result in read_all(arguments.results, arguments.config).items():
        where = device(path)
        found |= macros(result, ("recorded", where) if where else ())
    lines = [f"\\newcommand{{\\{name}}}{{{found[name]}}}\n" for name in sorted(found)]
    with written_whole(arguments.out) as temporary:
        content = "% Made from the results; do not edit.\n" + "".join(lines)
        temporary.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
