"""What comes in and goes out: packs, pictures, plan files, settings, advice."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from stablenew import recommend_jointly
from stablenew.cli.joint_answer import answer_lines
from stablenew.config.infotext import read_infotext
from tests.studio.serving import SWEEP, served


def png(size: tuple[int, int] = (64, 64)) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(file, "PNG")
    return file.getvalue()


async def test_packs_and_pictures_are_taken_by_what_is_in_them(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stablenew.studio.exchange.MOST_PACK", 500_000)
    many = "\n".join(f"a cat number {n}" for n in range(10_000)).encode()
    async with served(runs) as studio:
        post = studio.client.post
        kept = await post("api/packs", params={"name": "../../<img onerror=1>.txt"}, content=many)
        assert kept.json() == {"name": "_img onerror_1_.txt", "prompts": 10_000}
        await post("api/packs", params={"name": "<img onerror=1>.txt"}, content=many)
        (pack,) = (await studio.get("api/packs"))["packs"]
        page = await studio.get(f"api/packs/{pack['name']}", page="100")
        assert (page["total"], page["prompts"][-1]["index"]) == (10_000, 10_000)
        job = {"backend": "fake", "pack": pack["name"], "prompts": "1-3"}
        dry = await studio.post("api/dry-run", {"job": job})
        assert (dry["errors"], dry["step_count"]) == ([], 3)
        assert str(runs / "uploads") in dry["command"]
        for name, data, status in (
            ("a.txt", b"\0\1", 400),
            ("a.exe", many, 400),
            ("a.txt", many * 4, 413),
        ):
            answer = await post("api/packs", params={"name": name}, content=data)
            assert answer.status_code == status, name
        given = await post("api/images", params={"name": "evil.html"}, content=png())
        assert given.json()["image"] == "uploads/evil.png"
        assert (await studio.client.get(given.json()["url"])).status_code == 200
        other = await post("api/images", params={"name": "evil.html"}, content=png((8, 8)))
        assert other.json()["image"] == "uploads/evil 2.png"
        for data in (b"<svg onload=alert(1)>", b"GIF89a", png()[:60]):
            assert (await post("api/images", content=data)).status_code == 400
        assert len(list((runs / "uploads").iterdir())) == 3
        assert (await studio.client.get("api/packs/..%2f..%2fx")).status_code == 404


async def test_a_plan_file_opens_and_what_is_broken_is_said(runs: Path) -> None:
    async with served(runs) as studio:
        text = 'prompt = "a"\nout = "/tmp"\n[txt2img]\nsteps = 0\n'
        told = await studio.post("api/plan-file", {"text": text})
        assert told["job"] == {"prompt": "a", "txt2img": {"steps": 0}}
        assert [each["field"] for each in told["errors"]] == ["txt2img.steps"]
        for broken in ("prompt = ", "[" * 5000, "at = 2020-01-01"):
            await studio.post("api/plan-file", {"text": broken}, 400 if broken[0] != "a" else 200)
        await studio.post("api/plan-file", {"text": "[1]", "name": "a.json"}, 400)
        again = await studio.post("api/plan-file/from-job", {"job": SWEEP})
        back = await studio.post("api/plan-file", {"text": again["text"]})
        assert back["job"] == SWEEP


async def test_a_picture_goes_out_in_the_forms_of_other_programs(runs: Path) -> None:
    async with served(runs) as studio:
        job = {**SWEEP, "txt2img": {"steps": 7}, "upscale": {"enabled": True}}
        await studio.post("api/queue", {"job": job}, 201)
        await studio.ended()
        picture = (await studio.get("api/pictures"))["pictures"][0]
        base = f"api/pictures/{picture['run_id']}/{picture['image_id']}/as"
        text = (await studio.client.get(f"{base}/infotext")).text
        assert text.startswith("a cat\n")
        assert read_infotext(text)["Steps"] == "7"
        body = json.loads((await studio.client.get(f"{base}/api")).text)
        assert (body["steps"], body["prompt"]) == (7, "a cat")
        assert body["override_settings"]["sd_model_checkpoint"] == "fake-model"
        assert (await studio.client.get(f"{base}/comfyui")).status_code == 404
        again = (await studio.get(f"{base}/job"))["job"]
        dry = await studio.post("api/dry-run", {"job": again})
        assert (dry["errors"], dry["backend_calls"]) == ([], 0), "the very picture is there"
        plan = (await studio.client.get(f"{base}/plan")).text
        assert (await studio.post("api/plan-file", {"text": plan}))["job"] == again


async def test_ratings_become_advice_and_what_to_make_next(runs: Path) -> None:
    axes = [
        {"path": "txt2img.cfg_scale", "values": [1, 3, 5]},
        {"path": "txt2img.steps", "values": [4, 8]},
    ]
    async with served(runs) as studio:
        empty = await studio.get("api/advice")
        assert (empty["ratings"], empty["joint"], empty["next"]) == (0, None, None)
        await studio.post("api/queue", {"job": {**SWEEP, "learning": {"axes": axes}}}, 201)
        (ended,) = await studio.ended()
        for each in (await studio.get("api/pictures"))["pictures"]:
            rating = (
                1 + each["varied"]["txt2img.cfg_scale"] // 2 + (each["varied"]["txt2img.steps"] > 4)
            )
            key = {"run_id": each["run_id"], "image_id": each["image_id"]}
            await studio.post("api/ratings", {**key, "rating": rating})
        advice = await studio.get("api/advice", plan=ended["plan_id"])
        assert advice["ratings"] == 6
        assert advice["joint"]["together"] == {"txt2img.cfg_scale": 5, "txt2img.steps": 8}
        assert advice["together"] == {"txt2img": {"cfg_scale": 5, "steps": 8}}
        assert len(advice["points"]["txt2img.steps"]) == 6
        assert {each["parameter"] for each in advice["settings"]} == set(advice["points"])
        assert advice["next_words"], "a batch over both settings"
        (axis,) = advice["next"]["learning"]["axes"]
        assert [each["label"] for each in axis["choices"]] == advice["next_words"]
        for each in axis["choices"]:
            assert each["overrides"].keys() == advice["joint"]["together"].keys()
        dry = await studio.post("api/dry-run", {"job": advice["next"]})
        assert (dry["errors"], dry["there"]) == ([], 0), "none of it was made before"
        assert dry["step_count"] == len(advice["next_words"])
        joint = recommend_jointly(runs, plan_id=ended["plan_id"])
        assert joint is not None
        assert advice["lines"] == [*answer_lines(joint)][3:], "as `stablenew recommend` says it"
        assert advice["resume"] is None
        bad = await studio.client.get("api/advice", params={"stage": "x"})
        assert bad.status_code == 400
