"""The server for tests answers as the other servers did; theirs are recorded as sequences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest

from stablenew.backends.picture_header import read_picture_header
from stablenew.config.infotext import read_infotext
from tests.webui.profiles import SDCPP, SDNEXT, Profile
from tests.webui.sdnext import Own
from tests.webui.server import WebUI, serve
from tests.webui.test_transcripts import TRANSCRIPTS, differences, replenished, shape

_CUT = re.compile(r"(png|jpeg) (\d+)x(\d+)>$")
_OTHER_THINGS_AT_ONCE = re.compile("interrupt|queue|rate_limit")
"""Recorded while something else went on: other tests do that."""


def sequences(prefix: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what was asked and answered, in the order in which it was."""
    found: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(TRANSCRIPTS.glob(f"{prefix}*.json")):
        content = json.loads(path.read_text())
        steps = content if isinstance(content, list) else [content]
        found += [(path.stem, step) for step in steps if "response_json" in step]
    return found


def problems(exchange: Mapping[str, Any], answer: httpx2.Response) -> Iterator[str]:
    theirs = exchange["response_json"]
    if answer.status_code != exchange["status"]:
        yield f"status {exchange['status']}, ours {answer.status_code}: {answer.text[:200]}"
        return
    ours: Any = answer.json() if answer.content else None
    if theirs is None or ours is None:
        if theirs != ours:
            yield f"theirs {theirs!r}, ours {ours!r}"
        return
    if isinstance(theirs, dict) and "images" in theirs:
        yield from _other_pictures(theirs, ours)
    else:
        yield from differences(shape(_known(theirs)), shape(ours))


def _known(value: Any) -> Any:
    """Leave out what was left out of the recording."""
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items() if not key.startswith("<")}
    return [_known(each) for each in value] if isinstance(value, list) else value


def _other_pictures(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    import pybase64

    marks = [_CUT.search(each) for each in theirs["images"]]
    sizes = [(mark[1], int(mark[2]), int(mark[3])) for mark in marks if mark]
    headers = [read_picture_header(pybase64.b64decode(each)) for each in ours["images"]]
    kinds = [
        "png" if pybase64.b64decode(each[:8])[1:4] == b"PNG" else "jpeg" for each in ours["images"]
    ]
    made = [(kind, each.width, each.height) for kind, each in zip(kinds, headers, strict=True)]
    if sizes != made:
        yield f"pictures {sizes}, ours {made}"
    if not theirs["info"]:
        if ours["info"]:
            yield f"info of ours alone: {ours['info']}"
        return
    yield from differences(shape(_info(theirs)), shape(_info(ours)), "info")
    told = read_infotext(theirs.get("<infotext of images[0]>") or _info(theirs)["infotexts"][0])
    pairs = read_infotext(headers[0].infotext)
    if told.keys() != pairs.keys():
        yield f"infotext of {sorted(told)}, ours {sorted(pairs)}"


def _info(answer: Mapping[str, Any]) -> Any:
    return json.loads(answer["info"])


def replay(
    profile: Profile, exchanges: list[tuple[str, dict[str, Any]]], **how: Any
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with serve(profile, **how) as webui, httpx2.Client(base_url=webui.url, timeout=60) as client:
        for name, exchange in exchanges:
            different = list(problems(exchange, ask(client, name, exchange["request"], webui)))
            if different:
                found.setdefault(name, []).extend(different)
    return found


def ask(
    client: httpx2.Client, name: str, asked: Mapping[str, Any], webui: WebUI
) -> httpx2.Response:
    body: dict[str, Any] = {}
    if asked["json"] is not None:
        body["json"] = replenished(asked["json"], name)
    elif asked["raw"] is not None:
        body["content"] = asked["raw"].encode()
    headers = {"content-type": "application/json"} if body else {}
    return client.request(asked["method"], asked["path"], headers=headers, **body)


@pytest.mark.parametrize(("profile", "prefix", "at_least"), [(SDCPP, "sdcpp", 35)])
def test_it_answers_as_they_did(profile: Profile, prefix: str, at_least: int) -> None:
    exchanges = sequences(prefix)
    assert len(exchanges) >= at_least
    assert replay(profile, exchanges) == {}


def test_sdnext_answers_as_it_did() -> None:
    found: dict[str, list[str]] = {}
    exchanges = 0
    for path in sorted(TRANSCRIPTS.glob("sdnext_*.json")):
        if _OTHER_THINGS_AT_ONCE.search(path.stem):
            continue
        of_it = sequences(path.stem)
        exchanges += len(of_it)
        own = Own(loaded=not path.stem.endswith("no_model_loaded"))
        found |= replay(SDNEXT, of_it, models=("tiny-a", "tiny-b"), model="tiny-a", sdnext=own)
    assert found == {}
    assert exchanges >= 80
