"""The queue over a restart: what waited waits, what ran was interrupted; also after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from stablenew import FakeBackend
from stablenew.studio.queue_file import QueueFile
from stablenew.studio.queue_item import Item, KeptItem
from tests.studio.serving import SWEEP, Served, hanging, served
from tests.studio.test_command import PROGRAM


class Hanging(FakeBackend):
    """Makes one picture, and no second one."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = anyio.Event()

    async def run_stage(self, *given: Any) -> Any:
        if self.calls:
            self.begun.set()
            await anyio.sleep_forever()
        return await super().run_stage(*given)


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"job": {**SWEEP, "experiment_name": name, **more}}


def shown(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["title"].partition(":")[0], each["state"]) for each in items]


async def left_behind(runs: Path, *more: dict[str, Any]) -> list[dict[str, Any]]:
    """Have a studio end in the first of three plans."""
    backend = Hanging()
    async with served(runs, backend) as studio:
        for each in (named("first"), *(more or (named("second"), named("third")))):
            await studio.post("api/queue", each, 201)
        await backend.begun.wait()
        items = (await studio.get("api/queue"))["items"]
        assert isinstance(items, list)
        if not more:
            await studio.post(f"api/queue/{items[2]['id']}/move", {"before": items[1]["id"]})
    return items


async def test_what_waited_waits_in_its_order_and_what_ran_goes_on_first(runs: Path) -> None:
    before = await left_behind(runs)
    async with served(runs) as studio:
        await restored(studio, 3)
        state = await studio.get("api/state")
        assert state["held"]
        assert state["interrupted"] == [], "it is in the queue"
        assert shown(state["queue"]) == [
            ("first", "interrupted"),
            ("third", "waiting"),
            ("second", "waiting"),
        ]
        first, third, _ = (each["id"] for each in state["queue"])
        assert first == before[0]["id"], "a tab may have it"
        assert state["queue"][0]["plan_id"] == before[0]["plan_id"]
        await studio.post(f"api/queue/{first}/move", {"before": None}, 409)
        await studio.post(f"api/queue/{third}/resume", status=409)
        await studio.post("api/queue/q99/resume", status=404)
        item = await studio.post(f"api/queue/{first}/resume")
        assert item["resumes"] == before[0]["plan_id"]
        ended = await studio.ended(3)
        assert shown(ended) == [(name, "ended") for name in ("first", "third", "second")]
        assert {each["outcome"] for each in ended} == {"succeeded"}
        assert ended[0]["plan_id"] == before[0]["plan_id"]
    async with served(runs) as studio:
        assert (await studio.get("api/queue")) == {"items": [], "held": False}


async def restored(studio: Served, count: int) -> None:
    while len(studio.studio.queue.items) < count:
        await studio.studio.feed.news(studio.studio.feed.told)


async def test_what_waits_starts_once_it_is_told_to(runs: Path) -> None:
    await left_behind(runs, named("second"))
    async with served(runs) as studio:
        await restored(studio, 2)
        assert (await studio.post("api/queue/start"))["held"] is False
        ended = await studio.ended(1)
        assert shown(ended) == [("second", "ended"), ("first", "interrupted")]
        await studio.post(f"api/queue/{ended[1]['id']}/remove")
        assert shown((await studio.get("api/queue"))["items"]) == [("second", "ended")]


async def test_adding_starts_what_waits_and_a_plan_that_is_resumed_is_interrupted_no_more(
    runs: Path,
) -> None:
    plan_id = (await left_behind(runs, named("second")))[0]["plan_id"]
    async with served(runs) as studio:
        await restored(studio, 2)
        await studio.post("api/queue", {"resume": plan_id}, 201)
        ended = await studio.ended(2)
        assert [each["plan_id"] for each in ended].count(plan_id) == 1


async def test_an_interrupted_run_begins_again_and_a_job_that_is_wrong_by_now_fails(
    runs: Path,
) -> None:
    begun = anyio.Event()
    (runs / "uploads").mkdir(parents=True)
    pack = runs / "uploads" / "a.txt"
    pack.write_text("a cat\na dog\n")
    async with served(runs, hanging(begun)) as studio:
        await studio.post("api/queue", {"job": {"prompt": "a", "backend": "fake"}}, 201)
        job = {"pack": "a.txt", "prompts": "1-2", "backend": "fake"}
        await studio.post("api/queue", {"job": job}, 201)
        await begun.wait()
    pack.unlink()
    async with served(runs) as studio:
        await restored(studio, 2)
        first = (await studio.get("api/queue"))["items"][0]
        assert (first["state"], first["kind"]) == ("interrupted", "run")
        await studio.post(f"api/queue/{first['id']}/resume")
        run, wrong = await studio.ended(2)
        assert run["outcome"] == "succeeded"
        assert run["plan_id"] != first["plan_id"]
        assert wrong["outcome"] == "failed"
        assert "pack" in wrong["error"]


async def test_what_had_ended_before_the_kill_is_not_called_interrupted(runs: Path) -> None:
    async with served(runs) as studio:
        await studio.post("api/queue", named("first"), 201)
        await studio.ended()
        ended = studio.studio.queue.items[0].kept
    file = QueueFile(runs)
    file.open()
    await file.write([ended])  # as it was before the end was noted
    file.close()
    async with served(runs) as studio:
        await restored(studio, 1)
        assert shown((await studio.get("api/queue"))["items"]) == [("first", "ended")]


def test_what_goes_on_keeps_what_was_said_of_its_servers() -> None:
    job = {**SWEEP, "urls": ["http://a:1", "http://b:1"], "mix_servers": True, "workers": None}
    kept = KeptItem(id="q1", asked={"job": job}, began=True, plan_id="p")
    item = Item.of_kept(kept)
    item.go_on()
    assert item.asked == {"resume": "p", "mix_servers": True, "workers": None}
    assert (item.state, item.resumes) == ("waiting", "p")
    resumed = Item.of_kept(KeptItem(id="q2", asked={"resume": "p", "only_failed": True}))
    resumed.go_on()
    assert resumed.asked == {"resume": "p", "only_failed": True}


@pytest.mark.parametrize(
    "content", ["{", '{"schema": "other"}', '{"schema": "stablenew.queue/1", "items": [{}]}', "[]"]
)
async def test_a_queue_file_that_cannot_be_read_is_put_aside_and_said(
    runs: Path, content: str
) -> None:
    folder = runs / ".studio"
    folder.mkdir(parents=True)
    (folder / "queue.json").write_text(content)
    (folder / "queue.broken-1.json").write_text("an earlier one")
    async with served(runs) as studio:
        await studio.post("api/queue", named("first"), 201)
        (note,) = (await studio.get("api/state"))["notes"]
        assert "queue.json" in note
        assert note.endswith("put aside as queue.broken-2.json")
    assert (folder / "queue.broken-2.json").read_text() == content


async def test_two_studios_of_a_folder_keep_one_queue(runs: Path) -> None:
    await left_behind(runs)
    async with served(runs) as one:
        await restored(one, 3)
        async with served(runs) as other:
            await other.post("api/queue", {"job": {**SWEEP, "seed": 3}}, 201)
            assert "another studio keeps" in (await other.get("api/state"))["notes"][0]
            assert len((await other.get("api/queue"))["items"]) == 1
            await other.ended()
    assert [each["title"].partition(":")[0] for each in kept(runs)] == ["first", "third", "second"]


def kept(runs: Path) -> list[dict[str, Any]]:
    items = json.loads((runs / ".studio" / "queue.json").read_text())["items"]
    assert isinstance(items, list)
    return items


def test_a_studio_that_is_killed_has_its_queue_again(runs: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, "studio", "--no-open", "--port", "0", "--out"]
    with subprocess.Popen([*words, str(runs)], stdout=subprocess.PIPE, text=True) as program:
        guard = threading.Timer(50, program.kill)
        guard.start()
        try:
            assert program.stdout is not None
            address = program.stdout.readline().split()[1]
            _enqueue_and_kill(address, program)
        finally:
            guard.cancel()
            program.kill()
    assert [(each["title"], each["began"]) for each in kept(runs)] == [
        ("running", True),
        ("second", False),
        ("third", False),
    ]
    anyio.run(_goes_on, runs)


def _enqueue_and_kill(address: str, program: subprocess.Popen[str]) -> None:
    with httpx2.Client(base_url=address.partition("?")[0], timeout=40) as client:
        client.get(address)
        with client.stream("GET", "api/events") as events:
            for line in events.iter_lines():
                told = json.loads(line[6:]) if line.startswith("data: ") else {"type": ""}
                if told["type"] == "hello":
                    job = {"prompt": "a", "images_per_step": 500, "experiment_name": "running"}
                    assert client.post("api/queue", json={"job": job}).status_code == 201
                if told["type"] == "PictureSaved":
                    break
            for name in ("second", "third"):
                job = {"prompt": "a", "txt2img": {"steps": 1}, "experiment_name": name}
                assert client.post("api/queue", json={"job": job}).status_code == 201
            os.kill(program.pid, signal.SIGKILL)  # at once: what was answered is on disk


async def _goes_on(runs: Path) -> None:
    async with served(runs) as studio:
        await restored(studio, 3)
        assert (await studio.get("api/state"))["held"]
        states = [each["state"] for each in (await studio.get("api/queue"))["items"]]
        assert states == ["interrupted", "waiting", "waiting"]
