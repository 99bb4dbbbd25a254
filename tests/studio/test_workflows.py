"""ComfyUI's own workflow files in the studio, and files that are dropped onto the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.comfyui.server import V0_33, ComfyUI, serve
from tests.comfyui.test_workflow_conversion import saved
from tests.comfyui.test_workflow_files import picture
from tests.comfyui.workflow_nodes import answer, two_passes, txt2img
from tests.studio.serving import SWEEP, served
from tests.studio.test_exchange import png


@pytest.fixture
def comfyui() -> Iterator[ComfyUI]:
    with serve(V0_33, info=answer()) as server:
        yield server


async def test_a_workflow_becomes_a_form_is_varied_and_opens_again(
    runs: Path, comfyui: ComfyUI
) -> None:
    flow = json.dumps(two_passes()).encode()
    async with served(runs) as studio:
        sent = await studio.client.post("api/workflows", params={"name": "../a.json"}, content=flow)
        told = sent.json()
        assert (told["workflow"], told["format"]) == ("uploads/workflows/a.json", "API format")
        assert (await studio.get("api/workflows"))["workflows"][0]["nodes"] == told["nodes"]
        assert (await studio.get("api/packs"))["packs"] == [], "it is no pack"
        await studio.post("api/servers", {"url": comfyui.url})
        form = await studio.get("api/workflow-form", workflow=told["workflow"], server=comfyui.url)
        fields = {each["path"]: each for group in form["groups"] for each in group["fields"]}
        assert (fields["11.denoise"]["kind"], fields["11.denoise"]["high"]) == ("number", 1.0)
        assert fields["3.sampler_name"]["kind"] == "choice"
        assert fields["3.seed"]["role"] == "seed"
        assert {each["id"] for each in form["outputs"]} == {"12", "9"}
        assert form["errors"] == []
        axes = [{"path": "11.denoise", "values": [0.3, 0.6]}]
        job: dict[str, Any] = {
            "workflow": told["workflow"],
            "url": comfyui.url,
            "seed": 100,
            "inputs": {"3.steps": 7},
            "learning": {"axes": axes},
        }
        dry = await studio.post("api/dry-run", {"job": job})
        assert (dry["errors"], dry["step_count"]) == ([], 2)
        assert "--set 3.steps=7 " in dry["command"]
        assert "--sweep 11.denoise=0.3,0.6" in dry["command"]
        await studio.post("api/queue", {"job": job}, 201)
        (ended,) = await studio.ended()
        assert ended["outcome"] == "succeeded", ended["error"]
        sent_inputs = [each.prompt["3"]["inputs"]["steps"] for each in comfyui.entries]
        assert sent_inputs == [7, 7]
        again = (await studio.get(f"api/plans/{ended['plan_id']}/job"))["job"]
        dry = await studio.post("api/dry-run", {"job": again})
        assert (dry["errors"], dry["backend_calls"]) == ([], 0), "all of it is there"
        for wrong, field in (
            ({"inputs": {"3.steps": "many"}}, "inputs.3.steps"),
            ({"inputs": {"3.stepz": 3}}, "inputs.3.stepz"),
            ({"workflow": "uploads/workflows/none.json"}, "workflow"),
            ({"workflow": "../a.json"}, "workflow"),
            ({"output": "77"}, "output"),
            ({"learning": {"axes": [{"path": "3.no", "values": [1]}]}}, "inputs.3.no"),
        ):
            dry = await studio.post("api/dry-run", {"job": {**job, **wrong}})
            assert field in [each["field"] for each in dry["errors"]], dry["errors"]


async def test_what_the_page_saved_needs_its_server_and_a_picture_carries_one(
    runs: Path, comfyui: ComfyUI
) -> None:
    async with served(runs) as studio:
        post = studio.client.post
        ui = json.dumps(saved()).encode()
        kept = (await post("api/workflows", params={"name": "b.json"}, content=ui)).json()
        assert kept["format"] == "UI format"
        job = {"workflow": kept["workflow"], "prompt": "a dog"}
        dry = await studio.post("api/dry-run", {"job": job})
        assert [each["field"] for each in dry["errors"]] == ["url"]
        blind = await studio.client.get("api/workflow-form", params={"workflow": job["workflow"]})
        assert blind.status_code == 400
        await studio.post("api/servers", {"url": comfyui.url})
        dry = await studio.post("api/dry-run", {"job": {**job, "url": comfyui.url}})
        assert (dry["errors"], dry["pictures"]) == ([], 1)
        carrying = picture(prompt=json.dumps(txt2img()))
        told = (await post("api/workflows", params={"name": "c.png"}, content=carrying)).json()
        assert (told["workflow"], told["format"]) == ("uploads/workflows/c.png", "API format")
        form = await studio.get("api/workflow-form", workflow=told["workflow"], server="fake")
        assert [each["field"] for each in form["errors"]] == ["url"], "it runs none"
        for data in (b"{}", b"[1]", b"{", b"[" * 9000, png(), b"\0"):
            answer = await post("api/workflows", content=data)
            assert answer.status_code == 400, data[:9]
        large = {str(n): {"class_type": "A", "inputs": {}} for n in range(5_001)}
        answer = await post("api/workflows", content=json.dumps(large).encode())
        assert "5,001 nodes" in answer.json()["errors"][0]["message"]


async def test_what_is_dropped_is_known_by_its_content(runs: Path) -> None:
    async with served(runs) as studio:

        async def drop(name: str, data: object, status: int = 200) -> Any:
            content = data if isinstance(data, bytes) else json.dumps(data).encode()
            answer = await studio.client.post("api/files", params={"name": name}, content=content)
            assert answer.status_code == status, answer.text
            return answer.json()

        plan = await drop("a.json", {**SWEEP, "txt2img": {"steps": 0, "stepz": 1}})
        assert (plan["kind"], plan["job"]["prompt"]) == ("plan", "a cat")
        assert {each["field"] for each in plan["errors"]} == {"txt2img.steps", "txt2img.stepz"}
        assert (await drop("a.toml", b'prompt = "a"'))["job"] == {"prompt": "a"}
        assert (await drop("a.json", {"prompt": "a"}))["kind"] == "plan"
        assert (await drop("a.json", ["a", {"prompt": "b", "steps": 7}]))["kind"] == "pack"
        assert (await drop("b.json", {"prompts": ["a", "b"]}))["prompts"] == 2
        assert (await drop("c.txt", b"a cat\na dog\n"))["kind"] == "pack"
        assert (await drop("d.json", txt2img()))["kind"] == "workflow"
        assert (await drop("d.json", {"prompt": txt2img()}))["kind"] == "workflow"
        assert (await drop("e.bin", png())) == {
            "kind": "image", "image": "uploads/e.png", "url": "files/uploads/e.png",
        }  # fmt: skip
        carrying = picture(prompt=json.dumps(txt2img()))
        assert (await drop("f.png", carrying))["workflow"] == "uploads/workflows/f.png"
        await studio.post("api/queue", {"job": SWEEP}, 201)
        (ended,) = await studio.ended()
        stored = (runs / ended["plan_id"] / "plan.json").read_bytes()
        dropped = await drop("plan.json", stored)
        assert dropped["job"]["learning"]["axes"] == SWEEP["learning"]["axes"]
        broken = await drop("plan.json", {**json.loads(stored), "plan": {"mode": "x"}}, 400)
        assert not any("stablenew-" in each["message"] for each in broken["errors"])
        for name, data in (
            ("a.json", b'{"prompt": '), ("a.toml", b"prompt = "),
            ("a.exe", b"MZ\0"), ("a.png", b"\x89PNG\r\n\x1a\nno"), ("a.json", b"{" * 9000),
        ):  # fmt: skip
            assert (await drop(name, data, 400))["errors"], (name, data[:9])
