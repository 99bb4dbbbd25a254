"""Files that hold a workflow, in every shape that people have, and files that hold none."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from stablenew.backends.comfyui.workflows import workflow_file
from stablenew.backends.comfyui.workflows.workflow import Link
from stablenew.backends.comfyui.workflows.workflow_file import read_workflow, read_workflow_file
from stablenew.errors import ConfigError
from tests.comfyui.test_workflow_conversion import saved
from tests.comfyui.workflow_nodes import info, txt2img, workflow


def problems_of(data: bytes) -> tuple[str, ...]:
    """Return what is wrong with a file, as far as its workflow."""
    try:
        read_workflow(data).workflow(info())
    except ConfigError as error:
        return error.problems
    return ()


def encoded(data: object) -> bytes:
    return json.dumps(data).encode()


def picture(*, zipped: bool = False, **texts: str) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text, zip=zipped)
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded(txt2img()),
        encoded({"prompt": txt2img(), "client_id": "x"}),
        encoded({"workflow": {"prompt": txt2img()}}),
        encoded({"prompt": json.dumps(txt2img())}),
        b"\xef\xbb\xbf" + encoded(txt2img()),
        json.dumps(txt2img()).encode("utf-16"),
        picture(prompt=json.dumps(txt2img()), workflow=json.dumps(saved())),
        picture(prompt=json.dumps(txt2img()), zipped=True),
        picture(prompt=json.dumps(txt2img(), ensure_ascii=False) + "\u732b"[:0]),
    ],
)
def test_a_workflow_is_found_in_whatever_it_is_wrapped_in(data: bytes) -> None:
    assert read_workflow(data).workflow(None) == workflow()


@pytest.mark.parametrize("wrapped", ["page", "table", "picture"])
def test_what_a_page_saves_is_always_recognised(wrapped: str) -> None:
    page: dict[str, Any] = saved()
    data = {
        "page": encoded(page),
        "table": encoded({"workflow": page}),
        "picture": picture(workflow=json.dumps(page)),
    }[wrapped]
    found = read_workflow(data)
    assert found.format == "UI format"
    assert found.workflow(info()).nodes == workflow().nodes


def test_a_picture_whose_prompt_cannot_be_read_still_has_what_the_page_showed() -> None:
    data = picture(prompt="{", workflow=json.dumps(saved()))
    assert read_workflow(data).format == "UI format"


def test_the_nan_that_comfyui_writes_into_pictures_is_read() -> None:
    nodes = txt2img()
    nodes["3"]["is_changed"] = [float("nan")]
    assert read_workflow(picture(prompt=json.dumps(nodes))).workflow(None) == workflow()


def test_texts_beyond_latin_1_are_read_from_a_picture() -> None:
    nodes = txt2img()
    nodes["6"]["inputs"]["text"] = "猫 ä"
    made = read_workflow(picture(prompt=json.dumps(nodes, ensure_ascii=False))).workflow(None)
    assert made.nodes["6"].inputs["text"] == "猫 ä"


def test_ids_of_links_may_be_numbers_and_a_list_of_two_texts_is_no_link() -> None:
    nodes = txt2img()
    nodes["9"]["inputs"] = {"images": [8, 0], "pair": ["a", "b"], "wrapped": {"__value__": [1, 2]}}
    made = read_workflow(encoded(nodes)).workflow(None).nodes["9"].inputs
    assert made == {"images": Link("8", 0), "pair": ["a", "b"], "wrapped": {"__value__": [1, 2]}}


NOTHING = {
    "no JSON": b"txt2img",
    "empty": b"",
    "a list": b"[]",
    "a number": b"5",
    "an empty table": b"{}",
    "other nodes": b'{"nodes": 5}',
    "half a file": encoded(txt2img())[:-9],
    "a deep one": b'{"prompt":' * 100_000,
    "deep lists": b"[" * 100_000,
    "long numbers": b'{"1": ' + b"9" * 10_000 + b"}",
    "bytes": bytes(range(256)),
    "half a letter": b'{"\xff": 1}',
    "a picture": picture(),
    "another's picture": picture(parameters="a cat"),
    "a picture with rubbish": picture(prompt="rubbish"),
    "half a picture": picture(prompt=json.dumps(txt2img()))[:50],
    "nodes of nothing": b'{"1": {"class_type": "KSampler"}, "2": 5}',
    "a class of no name": b'{"1": {"class_type": 5}}',
    "inputs of nothing": b'{"1": {"class_type": "KSampler", "inputs": 5}}',
    "a page of nothing": b'{"nodes": [5]}',
    "a page of no types": b'{"nodes": [{"id": 1}]}',
}


@pytest.mark.parametrize("data", NOTHING.values(), ids=list(NOTHING))
def test_a_file_without_a_workflow_is_refused_in_one_line_a_problem(data: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read_workflow(data, "flow.json")
    for problem in caught.value.problems:
        assert problem.startswith("flow.json: ")
        assert len(problem) < 400
        assert "\n" not in problem


def test_a_compressed_text_is_not_opened_beyond_what_fits() -> None:
    bomb = zlib.compress(b" " * 80_000_000)
    chunk = b"zTXt" + b"prompt\0\0" + bomb
    head = picture()[:33]
    data = head + len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    with pytest.raises(ConfigError, match="without a workflow"):
        read_workflow(data)


def test_files_that_are_not_there_or_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_workflow_file(tmp_path / "nope.json")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_workflow_file(tmp_path)
    with pytest.raises(ConfigError, match="expected a path"):
        read_workflow_file("")
    monkeypatch.setattr(workflow_file, "LARGEST", 10)
    (tmp_path / "large.json").write_bytes(b" " * 11)
    with pytest.raises(ConfigError, match="11 bytes, expected at most 10"):
        read_workflow_file(tmp_path / "large.json")


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-30, 30) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ("nodes", "links", "id", "type", "inputs", "outputs", "widgets_values", "mode", "link",
             "definitions", "subgraphs", "properties", "proxyWidgets", "1", "class_type", "prompt")
        ),
        inner, max_size=5,
    ),
    max_leaves=30,
))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_is_in_a_file_is_a_workflow_or_one_line_a_problem(data: object) -> None:
    problems = problems_of(json.dumps(data).encode())
    assert all(problem and "\n" not in problem for problem in problems)
