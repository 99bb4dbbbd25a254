from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from stablenew.errors import (
    BackendRejectedError,
    ConfigError,
    OverrideError,
    RecordError,
    StableNewError,
    StageTimeoutError,
    ungrouped,
)


def test_a_config_error_has_a_line_for_each_problem() -> None:
    error = ConfigError("a: wrong", "b: wrong")
    assert str(error) == "a: wrong\nb: wrong"
    assert error.problems == ("a: wrong", "b: wrong")
    assert issubclass(OverrideError, ConfigError)


def test_a_record_error_says_where() -> None:
    assert str(RecordError("torn", path=Path("r.jsonl"), line=7)) == "r.jsonl:7: torn"
    assert str(RecordError("full", path=Path("r.jsonl"))) == "r.jsonl: full"


def test_a_rejection_keeps_status_and_excerpt() -> None:
    error = BackendRejectedError("no", stage="upscale", status=500, excerpt="OOM")
    assert (error.stage, error.status, error.excerpt, error.retryable) == (
        "upscale",
        500,
        "OOM",
        False,
    )
    assert isinstance(error, StableNewError)


def test_one_error_of_a_group_leaves_as_itself() -> None:
    with pytest.raises(ValueError, match="alone"), ungrouped():
        raise ExceptionGroup("group", [ValueError("alone")])


def test_several_errors_leave_as_a_group() -> None:
    with pytest.raises(ExceptionGroup), ungrouped():
        raise ExceptionGroup("group", [ValueError("one"), KeyError("two")])


def _kinds(kind: type[StableNewError]) -> Iterator[type[StableNewError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


@pytest.mark.parametrize("kind", list(_kinds(StableNewError)))
def test_every_error_can_be_pickled_and_copied(kind: type[StableNewError]) -> None:
    given: dict[type[StableNewError], dict[str, object]] = {
        BackendRejectedError: {"stage": "upscale", "status": 500, "excerpt": "OOM"},
        StageTimeoutError: {"stage": "txt2img", "retryable": True},
        RecordError: {"path": Path("r.jsonl"), "line": 7},
    }
    error = kind("what happened", **given.get(kind, {}))
    error.add_note("while testing")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert vars(other) == vars(error)
