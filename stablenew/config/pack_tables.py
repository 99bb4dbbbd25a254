"""Prompts in structured files: JSON, YAML, and the WebUI's `styles.csv`.

A list of prompts, or a table with a list named `prompts`. Each is a text, or a table with `prompt`,
`negative_prompt`, `name`, and settings: those of txt2img by their name (`steps`), others by their
path (`adetailer.enabled`). A row of a CSV file is such a table, and a style, which wraps another
prompt, where the file has a column `name`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from stablenew._names import suggestion
from stablenew.config.infotext_settings import settings_of_text
from stablenew.config.overrides import checked_settings, setting_types, with_stage
from stablenew.config.pipeline_config import Setting
from stablenew.config.prompt import Prompt
from stablenew.config.structured_text import read_json, read_yaml
from stablenew.errors import ConfigError

_PROMPT = ("prompt", "positive", "text")  # the last one is that of the WebUI's first styles.csv
_NEGATIVE = ("negative_prompt", "negative")
_NAME = "name"


def read_json_prompts(text: str) -> Iterator[Prompt]:
    """Yield the prompts of a JSON text.

    Raises:
        ConfigError: It is broken (line and column are named), or something in it is no prompt.
    """
    return prompts_from(read_json(text))


def read_yaml_prompts(text: str) -> Iterator[Prompt]:
    """Yield the prompts of a YAML text.

    Raises:
        ConfigError: It is broken (the line is named), or something in it is no prompt.
    """
    return prompts_from(read_yaml(text))


def read_csv_prompts(text: str) -> Iterator[Prompt]:
    """Yield the prompts of a CSV text, whose first row names the columns.

    Raises:
        ConfigError: It has no column of prompts, or a row has more columns or a wrong setting.
    """
    first = text.lstrip("\ufeff").partition("\n")[0]
    file = io.StringIO(text.lstrip("\ufeff"), newline="")
    delimiter = max(",;\t", key=first.count)  # a spreadsheet's is that of the country
    rows = csv.DictReader(file, skipinitialspace=True, strict=True, delimiter=delimiter)
    try:
        columns = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        if not {*_PROMPT} & {*columns}:
            raise ConfigError(
                f"columns {', '.join(columns)}, expected name, prompt, negative_prompt"
            )
        for row in rows:
            where = f"line {rows.line_num}"
            if None in row:
                raise ConfigError(f"{where}: more columns than the first row names")
            given = {name: text for name, text in row.items() if text}
            if set(given) - {_NAME}:  # a divider between styles has but a name
                yield _prompt(given, where, style=_NAME in columns)
    except csv.Error as error:
        raise ConfigError(f"line {rows.line_num}: {error}") from None


def prompts_from(data: object) -> Iterator[Prompt]:
    """Yield the prompts of plain data: a list of texts and tables, as the module has them.

    Raises:
        ConfigError: Something in it is no prompt.
    """
    if isinstance(data, Mapping) and "prompts" in data:
        data = data["prompts"]
    elif isinstance(data, Mapping) and {*_PROMPT} & {*data}:
        data = [data]
    if not isinstance(data, list):
        raise ConfigError("expected a list of prompts, or a table with a list named prompts")
    for number, each in enumerate(data, start=1):
        if isinstance(each, str):
            yield Prompt(positive=each.strip())
        elif isinstance(each, Mapping):
            yield _prompt(each, f"prompt {number}", style=False)
        else:
            raise ConfigError(f"prompt {number}: given {each!r:.60}, expected text or a table")


def _prompt(table: Mapping[str, object], where: str, *, style: bool) -> Prompt:
    nested = table.get("settings")
    given = dict(table)
    if isinstance(nested, Mapping):
        given = {**given, **nested}
        del given["settings"]
    texts: dict[str, str] = {}
    overrides: dict[str, Setting] = {}
    problems: list[str] = []
    for key, value in given.items():
        field = _field(key)
        try:
            if field is not None:
                texts[field] = _text(value)
            elif value is not None:
                overrides |= _settings(key, value)
        except ConfigError as error:
            problems += error.problems if field is None else [f"{key}: {error}"]
    if not problems and not texts.get("prompt") and not style:
        problems = [f"no prompt in {', '.join(map(str, given))}"]
    if problems:
        raise ConfigError(*(f"{where}: {each}" for each in problems))
    return Prompt(
        positive=texts.get("prompt", ""),
        negative=texts.get("negative_prompt", ""),
        name=texts.get(_NAME, ""),
        overrides=overrides,
        style=style,
    )


def _field(key: object) -> str | None:
    """Return the text of a prompt that a key names, None for a setting."""
    named = ((_PROMPT, "prompt"), (_NEGATIVE, "negative_prompt"), ((_NAME,), _NAME))
    return next((field for keys, field in named if key in keys), None)


def _text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"given {value!r:.60}, expected text")
    return (value or "").strip()


def _settings(key: object, value: object) -> dict[str, Setting]:
    """Return what a key sets, by path; a text is read as on the command line."""
    name = str(key)
    names = setting_types("txt2img")
    if "." not in name and name not in names:
        near = suggestion(name, [*_PROMPT[:1], *_NEGATIVE[:1], *names])
        raise ConfigError(f"{name}: no such setting, {near} (a text with a colon needs quotes)")
    path = with_stage(name)
    if isinstance(value, str):
        return settings_of_text(path, value)
    settings = checked_settings(path, value)
    return {f"{stage}.{field}": each for (stage, field), each in settings.items()}
