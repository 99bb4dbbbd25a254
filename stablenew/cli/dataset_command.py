"""The command `dataset`: the runs and ratings as other tools take them."""

from __future__ import annotations

from pathlib import Path

from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.printing import say
from stablenew.errors import ConfigError
from stablenew.learning.dataset_builder import BadLines
from stablenew.learning.dataset_export import export_csv, export_folder

KINDS = ("folder", "csv")


def dataset_command(out: str, kind: str | None, dest: str) -> ExitCode:
    """Export the dataset of a folder of runs.

    Raises:
        ConfigError: No such folder, or a destination that cannot be written to.
    """
    if kind not in KINDS:
        raise ConfigError(f"--to: given {kind!r}, expected one of {', '.join(KINDS)}")
    if not Path(out).is_dir():
        raise ConfigError(f"--out: given {out!r}, expected the folder of all runs")
    bad = BadLines()
    made = (export_csv if kind == "csv" else export_folder)(out, dest, report=bad)
    for line in bad.named:
        say(f"left out: {line}", err=True)
    more = bad.count - len(bad.named)
    if more > 0:
        say(f"left out: {more} more lines", err=True)
    say(f"{'rows' if kind == 'csv' else 'pictures'}: {made}, in {dest}")
    return ExitCode.SUCCEEDED
