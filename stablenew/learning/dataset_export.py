"""A dataset as other tools take it: a table of CSV, or a folder of pictures with their metadata."""

from __future__ import annotations

import csv
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stablenew._convert import json_line
from stablenew._names import checked_path
from stablenew.errors import ConfigError
from stablenew.learning.dataset_builder import COLUMNS, iter_dataset
from stablenew.learning.feedback_reader import ReportProblem
from stablenew.storage.disk_errors import disk_errors

METADATA = "metadata.jsonl"

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet takes for a formula: it would run what a prompt says."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def export_csv(
    base_dir: str | Path, dest: str | Path, *, report: ReportProblem | None = None
) -> int:
    """Write every row of a folder's dataset to a CSV file; returns how many.

    UTF-8 with a byte order mark, without which Excel takes it for the code page of its machine
    (pandas, polars and duckdb skip it; Python's own csv wants `encoding="utf-8-sig"`); a line of
    headings, quoted where needed; an empty field is one without a value.

    A text that begins with = + - @ a tab or a line break, with or without apostrophes before it,
    has one more apostrophe in front. Numbers stay as they are, also those that are text.

    Raises:
        ConfigError: There can be no such file.
        RecordError: The disk failed while it was read or written; what was there is as it was.
    """
    dest = checked_path("dest", dest)
    with (
        disk_errors(dest, "cannot be written"),
        _whole(dest) as path,
        # Half of a surrogate pair, which UTF-8 cannot hold, becomes the six letters `\ud83d`.
        path.open("w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file,
    ):
        rows = iter_dataset(base_dir, report=report)
        first = next(rows, None)
        writer = csv.DictWriter(file, COLUMNS if first is None else first)
        writer.writeheader()
        made = 0
        for row in itertools.chain(() if first is None else (first,), rows):
            writer.writerow({name: _cell(value) for name, value in row.items()})
            made += 1
    return made


def _cell(value: object) -> object:
    """Return a value as a spreadsheet shows it instead of reckoning with it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def export_folder(
    base_dir: str | Path, dest: str | Path, *, report: ReportProblem | None = None
) -> int:
    """Copy a dataset's pictures into one folder, with a `metadata.jsonl` beside them.

    As an "imagefolder": each line has `file_name` and the picture's row. Pictures are hard links
    where the disk allows it. Rows whose picture is gone are left out. Returns how many there are.

    Raises:
        ConfigError: The folder cannot be written, or has something else in it already.
        RecordError: The disk failed while it was read or written.
    """
    base, dest = checked_path("base_dir", base_dir), checked_path("dest", dest)
    _empty(dest)
    made = 0
    with (
        disk_errors(dest, "cannot be written"),
        _whole(dest / METADATA) as path,
        path.open("wb") as file,
    ):
        for row in iter_dataset(base, report=report):
            name = _copied(base, row, dest)
            if name is not None:
                file.write(json_line({"file_name": name, **row}) + b"\n")
                made += 1
    return made


def _empty(dest: Path) -> None:
    """See that a folder is there, with nothing in it but an earlier export."""
    try:
        dest.mkdir(parents=True, exist_ok=True)
        inside = {path.name for path in dest.iterdir()}
    except OSError as error:
        raise ConfigError(f"to: cannot write to {str(dest)!r} ({error.strerror})") from error
    if inside and METADATA not in inside:
        raise ConfigError(f"to: {str(dest)!r} has other things in it, expected an empty folder")


def _copied(base: Path, row: Mapping[str, object], dest: Path) -> str | None:
    """Link or copy a row's picture; return its new name, None where it is gone."""
    if not row["path"] or not row["image_id"]:
        return None
    try:
        source = checked_path("path", base / str(row["path"]))
    except ConfigError:  # a foreign line may say anything
        return None
    name = f"{row['run_id']}-{row['image_id']}{source.suffix}"
    target = dest / name
    inside = source.resolve().is_relative_to(base.resolve()) and Path(name).name == name
    if not inside or not source.is_file():  # a foreign line may name anything
        return None
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return name


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a temporary file that takes its place when everything is written."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ConfigError(f"to: {str(path)!r} is a device, expected an ordinary file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
    except OSError as error:
        raise ConfigError(f"to: cannot write to {str(path)!r} ({error.strerror})") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except IsADirectoryError as error:
        raise ConfigError(f"to: {str(path)!r} is a folder, expected a file") from error
    finally:
        with suppress(OSError):  # a disk that is read-only by now: what failed is said
            temporary.unlink(missing_ok=True)
