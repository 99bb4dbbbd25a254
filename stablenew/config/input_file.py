"""Files that a person wrote, read with one line for what is wrong: tables in TOML or JSON, text."""

from __future__ import annotations

import tomllib
from pathlib import Path

from stablenew.errors import ConfigError


def read_table(path: Path) -> dict[str, object]:
    """Read a TOML file (or, by its ending, a JSON file) into plain data.

    Raises:
        ConfigError: No such file, a folder, not text, or broken: with line and column.
    """
    ending = path.suffix.lower()
    if ending in (".yaml", ".yml"):
        raise ConfigError(f"{path}: a YAML file, expected a plan file in TOML (or in JSON: .json)")
    text = read_text(path)
    try:
        table = _parse_json(text) if ending == ".json" else tomllib.loads(text)
    except ValueError as error:  # both parsers say line and column
        kind = "" if ending in (".json", ".toml") else "not TOML, which a plan file is in: "
        raise ConfigError(f"{path}: {kind}{error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: given a {type(table).__name__}, expected an object of keys")
    return table


def without_control_characters(name: str, path: str | Path) -> str | Path:
    r"""Return a path as it is.

    Raises:
        ConfigError: It has a control character: `"D:\runs\new"` of a TOML file has a line break.
    """
    if any(ord(each) < 32 for each in str(path)):
        raise ConfigError(
            f"{name}: given {str(path)!r}, with a control character; expected a path (in a TOML"
            " file, write one with backslashes in single quotes)"
        )
    return path


def read_text(path: Path) -> str:
    """Read a text file that a person wrote: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        ConfigError: No such file, a folder, or not text.
    """
    data = read_bytes(path)  # which names the path itself
    try:
        return decode_text(data)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {each}" for each in error.problems)) from None


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def decode_text(data: bytes) -> str:
    """Return what a person wrote, without its byte order mark.

    Raises:
        ConfigError: It is neither UTF-8 nor UTF-16 with a byte order mark, or has a zero byte.
    """
    utf_16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "whole UTF-16" if utf_16 else "UTF-8"
        raise ConfigError(f"not a {kind} text file (byte {error.start})") from None
    if "\0" in text:
        raise ConfigError(f"not a text file (a zero byte at {text.index(chr(0))})")
    return text


def _parse_json(text: str) -> object:
    import json

    return json.loads(text)
