"""How a line of our log looks: what others wrote in it stays on its line."""

from __future__ import annotations

import logging

from stablenew.cli.printing import printable

LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Leaves the traceback out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return printable(f"{record.levelname.lower()}: {record.getMessage()}")


class Whole(logging.Formatter):
    """Keeps the lines of a traceback and of nothing else."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # its name there
        """Return what comes before the traceback as one line."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the record and its traceback."""
        return "\n".join(map(printable, super().format(record).split("\n")))
