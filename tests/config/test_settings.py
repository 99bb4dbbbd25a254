from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stablenew.config.settings import Settings, prepare_out_folder
from stablenew.errors import ConfigError


def test_learning_is_off_unless_somebody_turns_it_on() -> None:
    assert Settings().learning_enabled is False


def test_settings_are_strict_and_report_everything() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_dict({"outt": "x", "step_timeout": "5", "learning_enabled": 1})
    assert len(caught.value.problems) == 3
    assert "did you mean out?" in str(caught.value)


def test_plain_data_becomes_settings() -> None:
    settings = Settings.from_dict({"out": "here", "step_timeout": 5})
    assert settings.records_path == Path("here/learning_records.jsonl")


def test_the_out_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    prepare_out_folder(out)
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("in the way")
    with pytest.raises(ConfigError, match="cannot write to"):
        prepare_out_folder(path)
    assert stat.S_ISREG(path.stat().st_mode)
