"""What the studio answers: JSON, and errors each at its field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stablenew._convert import json_line, structure
from stablenew.errors import BackendError, ConfigError, StableNewError
from stablenew.storage.record_reader import NOT_JSON

T = TypeVar("T")

MOST_JSON = 4 * 1024 * 1024
"""Bytes of a request's JSON: ten thousand prompts are less."""

_FIELD = re.compile(r"(?:--)?([A-Za-z][\w-]*(?:\[\d+\]|\.[^\s:,]+?)*(?:\[\d+\])?): (.*)", re.DOTALL)


_INPUT = re.compile(
    r"(?:workflow\.|inputs: |(?=\d))([^\s:()]+\.[^\s:()]+)( \([^)]*\))?: (.*)", re.DOTALL
)
"""What is wrong with an input of a workflow."""


class NotNowError(StableNewError):
    """What was asked for does not go with what is under way."""


class NotThereError(StableNewError):
    """There is no such thing."""


class TooLargeError(StableNewError):
    """More was sent than is taken."""


STATUS: tuple[tuple[type[StableNewError], int], ...] = (
    (NotThereError, 404),
    (NotNowError, 409),
    (TooLargeError, 413),
    (ConfigError, 400),
    (BackendError, 502),
    (StableNewError, 500),
)
"""The first that an error is an instance of is what it is answered with."""


class Answer(Response):
    """Plain data as JSON."""

    media_type = "application/json"

    def __init__(self, data: object, status: int = 200) -> None:
        super().__init__(json_line(data), status, {"Cache-Control": "no-store"})


def said_errors(problems: Iterable[str], prefixes: Iterable[str] = ()) -> list[dict[str, object]]:
    """Return problems, each with the field that it is about: `txt2img.steps`, or null.

    Args:
        problems: Lines as errors of ours have them.
        prefixes: What may stand before the field: a file's name.
    """
    found: dict[tuple[object, str], None] = {}
    for problem in problems:
        for prefix in prefixes:
            problem = problem.removeprefix(f"{prefix}: ")
        problem = _at_its_field(problem)
        field = _FIELD.fullmatch(problem)
        name = field[1].replace("-", "_") if field and "." not in field[1] else field and field[1]
        found[name, field[2] if field else problem] = None
    return [{"field": name, "message": message} for name, message in found]


def _at_its_field(problem: str) -> str:
    """Return a problem with the field of a job that it is about, where it names something else."""
    if (found := _INPUT.fullmatch(problem)) is not None:
        node = f"{found[2].strip()} " if found[2] else ""
        return f"inputs.{found[1]}: {node}{found[3]}"
    problem = problem.removeprefix("workflow: ") if "--output: " in problem else problem
    return f"mix_{problem}" if problem.startswith("servers: ") else problem


def error_answer(error: StableNewError) -> Answer:
    """Return what an error is answered with."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    problems = error.problems if isinstance(error, ConfigError) else (str(error),)
    return Answer({"errors": said_errors(problems)}, status)


def refusal(status: int, message: str) -> Answer:
    """Return an answer that says no."""
    return Answer({"errors": [{"field": None, "message": message}]}, status)


async def body_of(request: Request, most: int) -> bytes:
    """Return what a request carries.

    Raises:
        TooLargeError: That is more than so many bytes, or says that it is.
    """
    told = request.headers.get("content-length", "0")
    size, pieces = int(told) if told.isdecimal() else 0, []
    if size <= most:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                break
            pieces.append(piece)
    if size > most:
        raise TooLargeError(f"more than {most // 1024:,} KiB were sent")
    return b"".join(pieces)


async def json_of(request: Request) -> Mapping[str, object]:
    """Return the JSON object that a request carries.

    Raises:
        ConfigError: It carries none.
        TooLargeError: It is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ConfigError(f"given the content type {kind!r}, expected application/json")
    data = await body_of(request, MOST_JSON)
    try:
        told = msgspec.json.decode(data)
    except (*NOT_JSON, RecursionError) as error:
        raise ConfigError(f"no JSON: {error}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"given JSON that is a {type(told).__name__}, expected an object")
    return told


async def asked(request: Request, kind: type[T]) -> T:
    """Return what a request asks for, checked strictly.

    Raises:
        ConfigError: With every problem.
        TooLargeError: It is too large.
    """
    return structure(await json_of(request), kind)


def number_in(request: Request, name: str, default: int, most: int) -> int:
    """Return a number of a query, from 1 on.

    Raises:
        ConfigError: It is none.
    """
    text = request.query_params.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise ConfigError(f"{name}: given {text!r}, expected a number from 1 to {most:,}")
    return int(text)


def paged(items: list[T], page: int, per_page: int) -> tuple[list[T], dict[str, object]]:
    """Return the items of a page, and what there is to say about pages."""
    pages = max(1, -(-len(items) // per_page))
    first = (page - 1) * per_page
    told: dict[str, object] = {"page": page, "pages": pages, "total": len(items)}
    return items[first : first + per_page], told


def lines_of(error: StableNewError) -> Iterator[str]:
    """Yield what an error says, line by line."""
    yield from error.problems if isinstance(error, ConfigError) else [str(error)]
