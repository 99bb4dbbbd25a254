"""The server for tests answers as AUTOMATIC1111 did when it was recorded."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.webui.pictures import png
from tests.webui.profiles import A1111, A1111_AUTH, A1111_BARE, A1111_UI, Profile
from tests.webui.server import serve

TRANSCRIPTS = Path(__file__).parent / "transcripts"

_OTHER_THINGS_AT_ONCE = re.compile(
    "live_|starved|while_busy|prog_ad|_long|killed|server_kill|after_kill|progress_busy|timeline"
    "|internal_progress_(active|queued|done|failed)|pending_busy|internal_sysinfo|min_decoded"
    "|adetailer_schema|gzip|realesrgan|a1111ui_root"
)
"""Recorded while something else went on (other tests do that), or of no interest here."""

_CUT = re.compile(r"\.\.\.<\d+ chars sha1 \w+(, \w+ \d+x\d+)?>$")
_CLIPPED = re.compile(r"<\.\.\. \d+ items in all>")
_INFOTEXT = (
    "a cat\nNegative prompt: dog\nSteps: 4, Sampler: Euler, Schedule type: Automatic,"
    " CFG scale: 7.0, Seed: 1, Size: 64x64, Model: randsd15-tiny-a, Version: 1.10.1"
)
_PICTURE = base64.b64encode(png(64, 64, 1, {"parameters": _INFOTEXT})).decode()
_PLAIN_PICTURE = base64.b64encode(png(64, 64, 1, {})).decode()


def recorded(prefix: str, without: str = "$^") -> list[tuple[str, dict[str, Any]]]:
    """Return the exchanges of one server in the order in which they took place."""
    found = []
    for path in sorted(TRANSCRIPTS.glob(f"{prefix}*.json")):
        if _OTHER_THINGS_AT_ONCE.search(path.stem) or re.match(without, path.stem):
            continue
        found.append((path.stem, json.loads(path.read_text())))
    return sorted(found, key=lambda each: _when(*each))


_AMONG_EQUALS = {
    "txt2img_unknown_field": -3,
    "txt2img_clip_skip": -3,
    "txt2img_eta": -3,
    "txt2img_styles_bad": -2,
    "txt2img_override_clip_skip": -1,
    "options_after_bad": 1,
    "txt2img_after_bad_option": 2,
    "options_fix": 3,
    "txt2img_after_fix": 4,
}
"""Which came first of those within one second, where it matters."""

_LONGER_INFOTEXT = re.compile(
    "_ad_|resize_to|hr_|subseed|random|defaults_only|mask|restore_faces|tiling|_infotext"
)
"""Theirs lists values that ours leaves out, or a random one."""


def _when(name: str, exchange: Mapping[str, Any]) -> tuple[str, int]:
    date = exchange["response_headers"].get("date", "")[5:]
    return date, _AMONG_EQUALS.get(name.removeprefix("a1111_"), 0)


def replenished(value: Any, name: str) -> Any:
    """Return a request with whole pictures in place of those that were cut short."""
    if isinstance(value, dict):
        return {key: replenished(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [replenished(each, name) for each in value]
    if isinstance(value, str) and _CUT.search(value):
        picture = _PICTURE if "keeps_pnginfo" in name or "png_info" in name else _PLAIN_PICTURE
        return ("data:image/png;base64," if value.startswith("data:") else "") + picture
    return value


def shape(value: Any) -> Any:
    """Return the kinds of a value's parts; of a list, that of its first."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        kept = [each for each in value if not (isinstance(each, str) and _CLIPPED.match(each))]
        return [shape(each) for each in kept[:1]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return type(value).__name__
    return "number"


def differences(theirs: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Yield where two shapes differ; null stands for anything."""
    if theirs == ours or "NoneType" in (theirs, ours):
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in theirs.keys() ^ ours.keys():
            yield f"{where}.{key} is only {'theirs' if key in theirs else 'ours'}"
        for key in theirs.keys() & ours.keys():
            yield from differences(theirs[key], ours[key], f"{where}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs and ours:
            yield from differences(theirs[0], ours[0], f"{where}[]")
    else:
        yield f"{where}: theirs {theirs}, ours {ours}"


def picture_marks(answer: Any) -> list[tuple[bytes, bytes, bytes]]:
    """Return for each picture: its first bytes, its size, and how long its infotext is."""
    images = answer.get("images") or ([answer["image"]] if "image" in answer else [])
    marks = []
    for image in images:
        head = base64.b64decode(image[:96])
        if head.startswith(b"\x89PNG"):
            marks.append((head[:4], head[16:24], head[33:41]))
        else:
            marks.append((head[:3], b"", b""))
    return marks


def problems(name: str, exchange: Mapping[str, Any], answer: httpx2.Response) -> Iterator[str]:
    if answer.status_code != exchange["status"]:
        yield f"status {exchange['status']}, ours {answer.status_code}: {answer.text[:200]}"
        return
    theirs = exchange["response_json"]
    ours: Any = answer.json() if answer.content else None
    if isinstance(theirs, dict) and ("images" in theirs or "image" in theirs):
        named, told = picture_marks(theirs), picture_marks(ours)
        if _LONGER_INFOTEXT.search(name):
            named, told = ([(*mark[:2], b"") for mark in each] for each in (named, told))
        if named != told:
            yield f"pictures {named}, ours {told}"
    if "get_options" in name or "png_info" in name:
        keys = set(ours) - set(theirs)
        if keys:
            yield f"keys of ours alone: {keys}"
    else:
        yield from differences(shape(theirs), shape(ours))
    if isinstance(theirs, dict) and "error" in theirs:
        for key in ("error", "detail"):
            if theirs[key] != ours[key]:
                yield f"{key} {theirs[key]!r}, ours {ours[key]!r}"


def replay(profile: Profile, exchanges: list[tuple[str, dict[str, Any]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with serve(profile) as webui, httpx2.Client(base_url=webui.url, timeout=60) as client:
        for name, exchange in exchanges:
            asked = exchange["request"]
            if name == "a1111_ad_no_pnginfo":
                webui.options["enable_pnginfo"] = False
            headers = dict(asked["headers"])
            if name.endswith("auth_ok_progress"):
                headers["Authorization"] = "Basic " + base64.b64encode(b"alice:secret").decode()
            if name.endswith("auth_wrong_progress"):
                headers["Authorization"] = "Basic " + base64.b64encode(b"alice:wrong").decode()
            body: dict[str, Any] = {}
            if asked["json"] is not None:
                body["json"] = replenished(asked["json"], name)
            elif asked["raw"] is not None:
                raw = asked["raw"]
                body["content"] = raw.encode("latin-1" if "utf8" in name else "utf-8")
                headers.setdefault("Content-Type", "application/json")
            answer = client.request(asked["method"], asked["path"], headers=headers, **body)
            different = list(problems(name, exchange, answer))
            if different:
                found[name] = different
            webui.options["enable_pnginfo"] = True
    return found


@pytest.mark.parametrize(
    ("profile", "prefix", "without", "at_least"),
    [
        (A1111_BARE, "a1111_", "a1111_ad_", 150),
        (A1111, "a1111_ad_", "$^", 15),
        (A1111_UI, "a1111ui_", ".*auth", 5),
        (A1111_AUTH, "a1111ui_auth", "$^", 7),
    ],
)
def test_it_answers_as_automatic1111_did(
    profile: Profile, prefix: str, without: str, at_least: int
) -> None:
    exchanges = recorded(prefix, without)
    assert len(exchanges) >= at_least
    assert replay(profile, exchanges) == {}


def test_a_different_answer_is_found() -> None:
    name, exchange = next(each for each in recorded("a1111_") if each[0].endswith("txt2img_min"))
    changed = json.loads(json.dumps(exchange))
    changed["response_json"]["images"].append(changed["response_json"]["images"][0])
    changed["response_json"]["parameters"]["new"] = 1
    found = replay(A1111_BARE, [(name, changed)])[name]
    assert any("pictures" in each for each in found)
    assert any("parameters.new" in each for each in found)
    assert struct.unpack(">I", picture_marks(exchange["response_json"])[0][2][:4]) == (167,)
