"""Jobs on several servers, and on several processes of the embedded model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from stablenew import app
from stablenew.backends.fake import FakeBackend
from tests.cli.test_several_servers import Server
from tests.studio.serving import SWEEP, served

A, B, COMFY = "http://a:7860", "http://b:7860", "http://comfy:8188"
VALUES = [{"path": "txt2img.cfg_scale", "values": [1, 2, 3, 4, 5, 6]}]
SHARED: dict[str, Any] = {"prompt": "a cat", "seed": 1, "learning": {"axes": VALUES}}


@pytest.fixture(autouse=True)
def servers() -> Iterator[None]:
    with mock.patch.dict(app.BACKENDS, server=Server, webui=Server, comfyui=Server):
        yield


async def test_several_servers_share_a_plan_each_with_its_own_password(runs: Path) -> None:
    async with served(runs) as studio:
        job = {**SHARED, "urls": [A, B]}
        told = await studio.post("api/dry-run", {"job": job})
        assert "urls" in [each["field"] for each in told["errors"]]
        await studio.post("api/servers", {"url": A})
        await studio.post("api/servers", {"url": B, "auth": "me:p@ss/word"})
        form = await studio.client.get("api/form", params={"server": [A, B]})
        assert form.json()["servers"] == [A, B]
        told = await studio.post("api/dry-run", {"job": job})
        assert (told["errors"], told["step_count"]) == ([], 6)
        assert f"--url {A} --url {B}" in told["command"]
        item = await studio.post("api/queue", {"job": job}, 201)
        assert item["servers"] == [A, B]
        read = studio.studio.queue.items[0].job
        assert read is not None
        assert [each.auth for each in read.settings.servers] == [None, "me:p@ss/word"]
        (ended,) = await studio.ended()
        assert ended["outcome"] == "succeeded"
    lines = (runs / ended["plan_id"] / "events.jsonl").read_text().splitlines()
    nodes = {json.loads(line)["node"] for line in lines if '"StepFinished"' in line}
    assert nodes == {A, B}
    for path in (runs / ".studio" / "queue.json", runs / ended["plan_id"] / "plan.json"):
        assert "p@ss" not in path.read_text()


async def test_servers_of_several_kinds_are_mixed_where_that_is_said_also_later(runs: Path) -> None:
    async with served(runs) as studio:
        for url in (A, COMFY, "http://gone"):
            await studio.post("api/servers", {"url": url})
        job = {**SHARED, "urls": [A, COMFY]}
        told = await studio.post("api/dry-run", {"job": job})
        assert [each["field"] for each in told["errors"]] == ["mix_servers"]
        form = await studio.client.get("api/form", params={"server": [A, COMFY]})
        assert form.json()["errors"][0]["field"] == "mix_servers"
        mixed = {**job, "mix_servers": True}
        told = await studio.post("api/dry-run", {"job": mixed})
        assert told["errors"] == []
        assert any("differ" in note for note in told["notes"])
        await studio.post("api/queue", {"job": {**mixed, "max_steps": 3}}, 201)
        (ended,) = await studio.ended()
        plan_id = ended["plan_id"]
        again = {"resume": plan_id, "mix_servers": True}
        item = await studio.post("api/queue", again, 201)
        assert "--mix-servers" in item["command"]
        assert (await studio.ended(2))[1]["outcome"] == "succeeded"
        alone = {**mixed, "urls": [A, "http://gone"]}
        answer = await studio.client.post("api/dry-run", json={"job": alone})
        assert answer.status_code == 502
        told = await studio.post("api/dry-run", {"job": {**alone, "skip_unreachable": True}})
        assert any("left out" in note for note in told["notes"])


async def test_processes_of_the_embedded_model_share_a_plan(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def workers(count: int) -> list[FakeBackend]:
        asked.append(count)
        return [FakeBackend() for _ in range(count)]

    monkeypatch.setattr("stablenew.studio.item_run.worker_backends", workers)
    async with served(runs) as studio:
        job = {**SHARED, "workers": 2}
        item = await studio.post("api/queue", {"job": job}, 201)
        assert (item["workers"], item["servers"]) == (2, ["embedded"])
        assert "--workers 2" in item["command"]
        await studio.ended()
        assert asked == [2]
        for wrong in ({**job, "workers": 0}, {**SWEEP, "workers": 2}):
            told = await studio.post("api/dry-run", {"job": wrong})
            assert "workers" in [each["field"] for each in told["errors"]], told["errors"]
        # A cluster would run what it is sent, and nobody named it here.
        elsewhere = {**SHARED, "dask": "tcp://evil.example:8786"}
        told = await studio.post("api/dry-run", {"job": elsewhere})
        assert [each["field"] for each in told["errors"]] == ["dask"]
