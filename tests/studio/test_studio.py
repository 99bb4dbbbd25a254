"""Plans from the form to the rated picture, and what every tab is told of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from stablenew import FakeBackend, Settings, open_app
from stablenew.cli.arguments import run_parser
from stablenew.cli.job import drafted_job, read_job
from stablenew.controller.marker import hold, release
from stablenew.learning.plan_file import read_plan_file
from stablenew.studio import asgi
from stablenew.studio.job_text import command_line, toml_of
from stablenew.studio.jobs import job_of_plan
from tests.studio.serving import SWEEP, hanging, served


async def test_from_a_form_to_a_rated_picture(runs: Path) -> None:
    async with served(runs) as studio:
        form = await studio.get("api/form", server="fake")
        fields = {f["path"]: f for stage in form["stages"] for f in stage["fields"]}
        assert fields["txt2img.steps"]["kind"] == "whole"
        assert fields["txt2img.sampler_name"]["choices"]
        dry = await studio.post("api/dry-run", {"job": SWEEP})
        assert (dry["errors"], dry["step_count"], dry["pictures"]) == ([], 2, 2)
        assert dry["command"].startswith("stablenew run --prompt 'a cat'")
        item = await studio.post("api/queue", {"job": SWEEP}, 201)
        assert item["step_count"] == 2
        (ended,) = await studio.ended()
        assert (ended["outcome"], ended["error"]) == ("succeeded", None)
        plan = await studio.get(f"api/plans/{ended['plan_id']}")
        assert [step["outcome"] for step in plan["steps"]] == ["succeeded", "succeeded"]
        assert plan["summary"]["state"] == "complete"
        assert plan["sequence"] > 0
        shown = (await studio.get(f"api/plans/{ended['plan_id']}/to-rate"))["pictures"]
        assert len(shown) == 2
        key = {"run_id": shown[0]["run_id"], "image_id": shown[0]["image_id"]}
        assert (await studio.post("api/ratings", {**key, "rating": 5}))["previous"] is None
        await studio.post("api/ratings", {**key, "rating": 2})
        assert (await studio.post("api/undo"))["undone"]["rating"] == 5
        (summary,) = (await studio.get("api/plans", rating="5"))["items"]
        assert (summary["rated"], summary["best"]) == (1, 5)
        left = (await studio.get(f"api/plans/{ended['plan_id']}/to-rate"))["pictures"]
        assert [each["run_id"] for each in left] == [shown[1]["run_id"]]
        (pair,) = (await studio.get(f"api/plans/{ended['plan_id']}/to-compare"))["pairs"]
        better, worse = ([each["run_id"], each["image_id"]] for each in pair)
        await studio.post("api/choices", {"winner": better, "loser": worse})
        assert not (await studio.get(f"api/plans/{ended['plan_id']}/to-compare"))["pairs"]
        assert (await studio.post("api/undo"))["undone"]["kind"] == "choice"
        assert (await studio.get(f"api/plans/{ended['plan_id']}/to-compare"))["pairs"]
        assert (await studio.client.get(shown[0]["url"])).status_code == 200
        assert (runs / "learning_records.jsonl").exists(), "the studio learns unless told not to"


async def test_what_is_wrong_is_said_at_its_field_and_nothing_is_queued(runs: Path) -> None:
    async with served(runs) as studio:
        wrong: dict[str, dict[str, Any]] = {
            "txt2img.steps": {"txt2img": {"steps": 0}},
            "txt2img.sampler_name": {"txt2img": {"sampler_name": "Eulr"}},
            "prompt": {"prompt": 5},
            "url": {"backend": "webui", "url": "http://127.0.0.1:9"},
            "pack": {"prompt": None, "pack": "/etc/passwd"},
            "image": {"image": "../elsewhere.png"},
            "out": {"out": "/tmp"},
            "auth": {"auth": "a:b"},
        }
        for field, change in wrong.items():
            job = {k: v for k, v in {**SWEEP, **change}.items() if v is not None}
            told = await studio.post("api/dry-run", {"job": job})
            assert field in [each["field"] for each in told["errors"]], (field, told["errors"])
            assert told["step_count"] is None
            await studio.post("api/queue", {"job": job}, 400)
        assert (await studio.get("api/queue"))["items"] == []
        assert not list(runs.glob("[!.]*"))


async def test_the_queue_runs_one_at_a_time_in_the_order_that_was_asked_for(runs: Path) -> None:
    gate = anyio.Event()

    class Gated(FakeBackend):
        async def run_stage(self, *given: Any) -> Any:
            await gate.wait()
            return await super().run_stage(*given)

    async with served(runs, Gated()) as studio:
        items = [
            await studio.post("api/queue", {"job": {**SWEEP, "experiment_name": name}}, 201)
            for name in ("first", "second", "third", "fourth")
        ]
        ids = [each["id"] for each in items]
        while studio.studio.queue.plain[0]["plan_id"] is None:
            await studio.studio.feed.news(studio.studio.feed.told)
        await studio.post(f"api/queue/{ids[3]}/move", {"before": ids[1]})
        await studio.post(f"api/queue/{ids[2]}/remove")
        await studio.post(f"api/queue/{ids[0]}/remove", status=409)
        await studio.post(f"api/queue/{ids[0]}/move", {"before": None}, 409)
        await studio.post("api/queue/q99/remove", status=404)
        assert (await studio.post("api/pause"))["state"] == "paused"
        assert (await studio.post("api/resume"))["state"] == "running"
        gate.set()
        ended = await studio.ended(3)
        assert [each["title"].partition(":")[0] for each in ended] == ["first", "fourth", "second"]
        await studio.post("api/pause", status=409)


async def test_a_cancel_tells_what_the_server_said_and_a_plan_goes_on(runs: Path) -> None:
    begun = anyio.Event()
    async with served(runs, hanging(begun)) as studio:
        await studio.post("api/queue", {"job": SWEEP}, 201)
        await begun.wait()
        item = await studio.post("api/cancel")
        assert (item["state"], item["outcome"]) == ("ended", "cancelled")
        assert item["receipt"]["confirmed"] is True
        plan_id = item["plan_id"]
        assert (await studio.get("api/plans"))["items"][0]["state"] == "unfinished"
        again = await studio.post("api/queue", {"resume": plan_id}, 201)
        assert again["resumes"] == plan_id
        ended = await studio.ended(2)
        assert (ended[1]["outcome"], ended[1]["plan_id"]) == ("succeeded", plan_id)


async def test_who_was_away_gets_every_event_once_from_memory_and_from_the_file(
    runs: Path,
) -> None:
    def is_end(each: dict[str, Any]) -> bool:
        return bool(each["type"] == "PlanFinished")

    async with served(runs) as studio:
        await studio.post("api/queue", {"job": SWEEP}, 201)
        (ended,) = await studio.ended()
        whole = await studio.told(f"{ended['plan_id']}/0", is_end)
        hello, *events = [each for each in whole if each[1]["type"][0].isupper() or not each[0]]
        assert hello[1]["type"] == "hello"
        numbers = [each["sequence"] for id_, each in events if id_]
        assert numbers == list(range(1, numbers[-1] + 1))
        later = await studio.told(f"{ended['plan_id']}/{numbers[-4]}", is_end)
        assert [each["sequence"] for id_, each in later if id_] == numbers[-3:]
    async with served(runs) as studio:  # a new process, which knows of nothing
        later = await studio.told(f"{ended['plan_id']}/{numbers[-4]}", is_end)
        assert [each["sequence"] for id_, each in later if id_] == numbers[-3:]
        lost = await studio.told("20200101T000000-x/7", lambda each: each["type"] == "lost")
        assert len(lost) == 2
        answer = await studio.client.get("api/events", params={"after": "../x/1"})
        assert answer.status_code == 400


async def test_a_tab_that_is_too_slow_is_cut_off_and_slows_nobody(runs: Path) -> None:
    async with served(runs) as studio:
        feed = studio.studio.feed
        for number in range(3):
            feed.tell("rated", number=number)
        assert [each.kind for each in feed.after(feed.told - 2) or ()] == ["rated", "rated"]
        feed._kept = type(feed._kept)(feed._kept, maxlen=2)
        feed.tell("rated", number=3)
        assert feed.after(0) is None


async def test_the_end_of_the_studio_cancels_the_plan_and_tells_every_tab(runs: Path) -> None:
    begun = anyio.Event()
    async with served(runs, hanging(begun)) as studio:
        heard: list[list[str]] = []

        async def listen() -> None:
            told = await studio.told("", lambda each: each["type"] == "closing")
            heard.append([each["type"] for _, each in told])

        async with anyio.create_task_group() as tabs:
            tabs.start_soon(listen)
            tabs.start_soon(listen)
            await studio.post("api/queue", {"job": SWEEP}, 201)
            await begun.wait()
            while studio.studio.feed.tabs < 2:
                await studio.studio.feed.news(studio.studio.feed.told)
            await studio.studio.close()
        for types in heard:
            assert types.index("PlanFinished") < types.index("closing")


@pytest.mark.parametrize(
    "job",
    [
        SWEEP,
        {**SWEEP, "seed": 7, "images_per_step": 2, "txt2img": {"steps": 4, "enable_hr": True}},
        {
            **SWEEP,
            "learning": {
                "enabled": False,
                "sample": 3,
                "axes": [
                    {"path": "txt2img.cfg_scale", "values": [1, 3]},
                    {"path": "txt2img.sampler_name", "values": ["Euler", "Heun"]},
                ],
            },
        },
    ],
)
def test_the_command_line_and_the_plan_file_say_the_same_as_the_form(
    job: dict[str, Any], tmp_path: Path
) -> None:
    import shlex

    line, needs_file = command_line(job, tmp_path)
    assert not needs_file
    by_line = read_job(vars(run_parser().parse_args(shlex.split(line)[2:])), {})
    file = tmp_path / "plan.toml"
    file.write_text(toml_of({**job, "learn": job["learning"].get("enabled", True)}))
    by_file = drafted_job(vars(run_parser().parse_args([str(file), "--out", str(tmp_path)])), {})
    assert by_line == by_file


def test_a_form_that_no_words_say_names_its_plan_file(tmp_path: Path) -> None:
    job = {"prompt": "-rf", "learning": {"axes": [{"prompts": ["a", "b"]}]}}
    assert command_line(job, tmp_path)[1]


async def test_a_plan_opens_as_a_form_and_runs_again_as_the_same_plan(runs: Path) -> None:
    async with served(runs) as studio:
        await studio.post("api/queue", {"job": {**SWEEP, "seed": 5}}, 201)
        (ended,) = await studio.ended()
        job = (await studio.get(f"api/plans/{ended['plan_id']}/job"))["job"]
        stored = read_plan_file(runs / ended["plan_id"])
        assert job == job_of_plan(stored)
        dry = await studio.post("api/dry-run", {"job": job})
        assert (dry["errors"], dry["there"]) == ([], 2), "all of it is there already"
        text = (await studio.client.get(f"api/plans/{ended['plan_id']}/plan.toml")).text
        assert "cfg_scale" in text


async def test_a_broken_plan_a_single_run_and_foreign_text_are_shown(runs: Path) -> None:
    evil = "<img src=x onerror=alert(1)></script>\u202e"
    async with served(runs) as studio:
        await studio.post("api/queue", {"job": {"prompt": evil, "backend": "fake"}}, 201)
        (ended,) = await studio.ended()
        assert ended["kind"] == "run"
        (runs / "20200101T000000-broken").mkdir()
        (runs / "20200101T000000-broken" / "plan.json").write_text("{")
        items = (await studio.get("api/plans"))["items"]
        assert [each["state"] for each in items] == ["complete", "broken"]
        assert items[0]["prompt"] == evil
        plan = await studio.get(f"api/plans/{ended['plan_id']}")
        assert plan["prompt"] == evil
        broken = await studio.get("api/plans/20200101T000000-broken")
        assert broken["errors"]
        found = await studio.get("api/pictures", search="ONERROR")
        assert [each["run_id"] for each in found["pictures"]] == [ended["plan_id"]]
        assert not (await studio.get("api/pictures", search="a dog"))["pictures"]


async def test_it_mounts_in_an_app_of_somebody_else(runs: Path) -> None:
    import httpx2
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        mine = Starlette(routes=[Mount("/studio", asgi(app, token="abc"))])
        transport = httpx2.ASGITransport(app=mine)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            opened = await client.get("/studio/?token=abc")
            assert "Path=/studio/" in opened.headers["set-cookie"]
            assert (await client.get("/studio/api/state")).json()["host"] is True


async def test_a_plan_that_another_program_runs_is_followed_from_its_file(runs: Path) -> None:
    folder = runs / "20200101T000000-other"
    folder.mkdir(parents=True)
    log = folder / "events.jsonl"
    log.write_text(
        '{"type": "PlanStarted", "sequence": 1}\n{"type": "StepStarted", "sequence": 2}\n'
    )
    marker = hold(runs, folder.name)
    async with served(runs) as studio:
        found = []
        path = f"api/plans/{folder.name}/events"
        async with studio.client.stream("GET", path, params={"after": "1"}) as answer:
            async for line in answer.aiter_lines():
                found += [line] if line else []
                if line.startswith("data") and "StepStarted" in line:
                    with log.open("a") as file:
                        file.write('{"type": "PlanFinished", "sequence": 3}\n')
                    release(runs, folder.name, marker)
    assert [each for each in found if each.startswith("id")] == [
        f"id: {folder.name}/2",
        f"id: {folder.name}/3",
    ]
    assert found[-1] == 'data: {"type":"end"}'


async def test_an_exploration_waits_for_ratings_says_so_goes_on_and_ends_in_advice(
    runs: Path,
) -> None:
    explored = ["txt2img.cfg_scale=1..9", "txt2img.steps=4..8"]
    job = {"prompt": "a cat", "backend": "fake", "explore": explored, "max_pictures": 7}
    async with served(runs) as studio:
        await studio.post("api/queue", {"job": job}, 201)
        number, waited, keys = 0, [], list[tuple[str, str]]()
        while not any(each["state"] == "ended" for each in studio.studio.queue.plain):
            for each in studio.studio.feed.after(number) or ():
                told = json.loads(each.line)
                keys += told["pictures"] if told["type"] == "RatingsAwaited" else []
                number += 1
            (item,) = studio.studio.queue.plain
            awaits: Any = item["awaits"]
            if awaits and awaits["blocked"] and awaits["ratings"] == len(keys):
                waited.append(len(keys))
                run_id, image_id = keys.pop(0)
                key = {"run_id": run_id, "image_id": image_id}
                await studio.post("api/ratings", {**key, "rating": 1 + len(waited) % 5})
                continue
            await studio.studio.feed.news(number)
        assert max(waited) > 4, "it is a batch ahead, and no more"
        (item,) = studio.studio.queue.plain
        assert (item["outcome"], item["awaits"]) == ("succeeded", None)
        advice = await studio.get("api/advice", plan=str(item["plan_id"]))
        assert advice["joint"]["together"].keys() == {"txt2img.cfg_scale", "txt2img.steps"}
        assert advice["ratings"] >= 6


async def test_what_a_killed_studio_told_and_never_wrote_is_not_taken_for_what_came_later(
    runs: Path,
) -> None:
    async with served(runs) as studio:
        await studio.post("api/queue", {"job": SWEEP}, 201)
        (ended,) = await studio.ended()
        plan_id = ended["plan_id"]
        told = await studio.told(f"{plan_id}/0", lambda each: each["type"] == "PlanFinished")
        mark = told[-1][0]
        assert mark.startswith(f"{plan_id}/")
    log = runs / plan_id / "events.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-4]))
    async with served(runs) as studio:
        after = await studio.told(mark, lambda each: each["type"] in ("lost", "closing"))
        assert [each["type"] for _, each in after] == ["hello", "lost"]
        before = f"{plan_id}/1.{mark.partition('.')[2]}"
        await studio.told(before, lambda each: each["type"] == "StepStarted")
