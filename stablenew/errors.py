"""Every error that StableNew raises on purpose.

    StableNewError
    ├── ConfigError              the input is wrong; before any event or I/O
    │   └── OverrideError        a swept path or value that does not fit
    ├── BackendError             stage, retryable
    │   ├── BackendUnavailableError   no answer
    │   ├── BackendRejectedError      an answer, and it was no (status, excerpt)
    │   ├── BackendProtocolError      an answer that cannot be read or is not what was asked for
    │   └── StageTimeoutError         no progress for too long
    ├── RecordError              path, line number where there is one
    ├── LeakedCancelError        code of others ended in a cancel that nobody gave
    └── BusError
        ├── BusClosedError            published or subscribed outside the bus's block
        └── ReentrantPublishError     published from a handler

One error leaves as itself; a group leaves only when there were several.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StableNewError(Exception):
    """What every error of this package is; it can be copied and pickled, for other processes."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[StableNewError], args: tuple[object, ...], values: dict[str, object]
) -> StableNewError:
    """Return an error as it was pickled; `__init__` would want what became the message."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(values)
    return error


class ConfigError(StableNewError):
    """The input is wrong: a config, a plan, a pack, a command line.

    Args:
        *problems: One line each: the field, what was given, what would be right.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class OverrideError(ConfigError):
    """A path that no config has, or a value that does not fit there."""


class BackendError(StableNewError):
    """A backend could not make the picture.

    Args:
        message: What happened, in the backend's words where it had some.
        stage: The stage that was running, if one was.
        retryable: Whether the same request may succeed later without a change.
    """

    def __init__(self, message: str, *, stage: str | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.stage = stage
        self.retryable = retryable


class BackendUnavailableError(BackendError):
    """The backend gave no answer."""


class BackendRejectedError(BackendError):
    """The backend answered no.

    Args:
        message: What happened.
        stage: The stage that was running, if one was.
        retryable: Whether the same request may succeed later without a change.
        status: The HTTP status, where there is one.
        excerpt: The part of the answer that says why.
    """

    def __init__(
        self,
        message: str,
        *,
        stage: str | None = None,
        retryable: bool = False,
        status: int | None = None,
        excerpt: str = "",
    ) -> None:
        super().__init__(message, stage=stage, retryable=retryable)
        self.status = status
        self.excerpt = excerpt


class BackendProtocolError(BackendError):
    """The backend's answer cannot be read, or is not what was asked for."""


class StageTimeoutError(BackendError):
    """A stage gave no sign of progress for too long."""


class RecordError(StableNewError):
    """A file of records cannot be read or written.

    Args:
        message: What went wrong and what to do about it.
        path: The file.
        line: The number of the line, counted from 1, where one is to blame.
    """

    def __init__(self, message: str, *, path: Path, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}")
        self.path = path
        self.line = line


class LeakedCancelError(StableNewError):
    """Code of others (a backend, a scorer, a handler) ended in a cancel that nobody gave."""


class BusError(StableNewError):
    """The event bus was used in a way that it refuses."""


class BusClosedError(BusError):
    """The event bus is not open: used before its block was entered or after it was left."""


class ReentrantPublishError(BusError):
    """A handler published an event: it would wait for itself."""


@contextmanager
def ungrouped() -> Iterator[None]:
    """Let one error out of a task group as itself; a group of several stays a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__
