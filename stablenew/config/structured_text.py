"""JSON and YAML as people write them, read with errors that name the place.

YAML's scalars stay text, as they are written: `no` is a word of a prompt, and no False.
"""

from __future__ import annotations

from stablenew.errors import ConfigError


def read_json(text: str) -> object:
    """Read a JSON text.

    Raises:
        ConfigError: It is broken; line and column are named.
    """
    import json

    try:
        data: object = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"not JSON: {error}") from None
    except RecursionError:
        raise ConfigError("nested too deeply") from None
    return data


def read_yaml(text: str) -> object:
    """Read a YAML text; every scalar is text.

    Raises:
        ConfigError: It is broken; the line is named.
    """
    import yaml  # 50 ms: only where there is some

    # The compiled one is ten times as quick, and is missing where PyYAML was built without libyaml.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        data: object = yaml.load(text, Loader=loader)  # makes text, lists and tables, nothing else
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(
            f"{where}not YAML: {problem} (a text with a colon needs quotes)"
        ) from None
    except RecursionError:
        raise ConfigError("nested too deeply") from None
    return data
