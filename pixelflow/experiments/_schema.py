"""Validation of the config by its schema, if jsonschema and PyYAML are installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_name("config.schema.yaml")
MAX_CHARS = 300  # of one problem's message


def problems(config: Mapping[Any, Any], section: str | None = None) -> list[str] | None:
    """List what is wrong with a config, unknown keys first.

    Parameters
    ----------
    config : mapping
        The whole config, or "seed" and one section.
    section : str, optional
        The name of that section.

    Returns
    -------
    list of str, or None
        None if jsonschema or PyYAML is missing.
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
        f"{'.'.join(map(str, e.absolute_path)) or 'top level'}: {e.message[:MAX_CHARS]}"
        for e in errors
    ]
