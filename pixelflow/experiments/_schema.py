"""The config against its schema, where jsonschema and PyYAML are installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("config.schema.yaml")
LENGTH = 300  # characters that are shown of one thing that is wrong


def problems(config: Mapping[Any, Any], section: str | None = None) -> list[str] | None:
    """What is wrong with a config, what is misspelt first.

    Parameters
    ----------
    config : mapping
        The whole config, or the seed and one section.
    section : str, optional
        The name of that section.

    Returns
    -------
    list of str, or None
        None where that can't be told, because a package is missing.
    """
    try:
        import jsonschema
        import yaml
    except ImportError:
        return None
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    if section is not None:
        schema["required"] = ["seed", section]
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(config))
    errors.sort(key=lambda e: e.validator != "additionalProperties")
    return [
        f"{'.'.join(map(str, e.absolute_path)) or 'top level'}: {e.message[:LENGTH]}"
        for e in errors
    ]
