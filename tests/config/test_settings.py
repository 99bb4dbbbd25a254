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


@pytest.mark.parametrize(
    ("given", "auth", "url", "credentials"),
    [
        ("http://127.0.0.1:7860/", None, "http://127.0.0.1:7860", None),
        ("localhost:7860", None, "http://localhost:7860", None),
        ("https://me:pa%3Ass@host/sd", None, "https://host/sd", "me:pa:ss"),
        ("http://me:pass@host", "you:other", "http://host", "you:other"),
        ("http://me@host", None, "http://host", "me:"),
        ("http://[::1]:7860", "a:b", "http://[::1]:7860", "a:b"),
    ],
)
def test_a_url_is_kept_without_credentials(
    given: str, auth: str | None, url: str, credentials: str | None
) -> None:
    settings = Settings(url=given, auth=auth)
    assert (settings.url, settings.auth) == (url, credentials)
    assert "pa" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://host:7860/?__theme=dark", "http://host:7860"),
        ("https://host/#tab", "https://host"),
        (" http://host:7860\n", "http://host:7860"),
        ("host:7860/docs#/default/text2imgapi", "http://host:7860"),
        ("http://host/sd/docs/", "http://host/sd"),
        ("http://host/sdapi/v1/txt2img", "http://host"),
        ("http://host/sd/sdapi/v1", "http://host/sd"),
        ("http://host/openapi.json", "http://host"),
        ("http://host/docs/sd", "http://host/docs/sd"),
    ],
)
def test_a_url_is_taken_as_it_stands_in_a_browser(given: str, url: str) -> None:
    assert Settings(url=given).url == url


@pytest.mark.parametrize(
    "given",
    ["", " ", "ftp://x", "http://", "http://x:port", "http://x:99999", "http://a b", "?a=1"],
)
def test_a_wrong_url_is_told(given: str) -> None:
    with pytest.raises(ConfigError, match=r"url: given .*, expected http://HOST:PORT"):
        Settings(url=given)


def test_credentials_are_not_repeated_when_they_are_wrong() -> None:
    for url, auth in (
        ("http://x", "secret"),
        ("http://me:secret@x:port", None),
        ("http://me:1/secret@x", None),
        ("http://me:1?secret@x", None),
    ):
        with pytest.raises(ConfigError) as caught:
            Settings(url=url, auth=auth)
        assert "secret" not in str(caught.value)
        assert "secret" not in str(caught.value.__cause__)
