"""What others wrote stays data: prompts, names, what a server says; and what bad input gets."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import httpx2
import pytest

from stablenew import app
from stablenew.backends.base import Capabilities
from stablenew.controller.marker import hold, release
from stablenew.errors import BackendUnavailableError
from stablenew.studio import command
from stablenew.studio.access import Access
from tests.cli.test_several_servers import Server
from tests.studio.serving import SWEEP, Served, served
from tests.studio.test_exchange import png

EVIL = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "\u202egnp.exe \u2066x",
    'a\n\ndata: {"type": "closing"}\n\n',
)


def is_data(answer: httpx2.Response) -> None:
    """See that no browser would take an answer for a page."""
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in ("application/json", "application/toml", "text/plain"), kind
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_prompt_and_a_name_come_back_as_they_are_and_as_data(runs: Path) -> None:
    async with served(runs) as studio:
        for number, evil in enumerate(EVIL, start=1):
            await ask_for(studio, evil, number)
        advice = await studio.client.get("api/advice")
        is_data(advice)


async def ask_for(studio: Served, evil: str, number: int) -> None:
    job = {"prompt": evil, "backend": "fake", "experiment_name": evil}
    is_data(await studio.client.post("api/dry-run", json={"job": job}))
    await studio.post("api/queue", {"job": job}, 201)
    ended = (await studio.ended(number))[-1]
    assert (ended["outcome"], ended["title"]) == ("succeeded", evil)
    id_ = ended["plan_id"]
    told = await studio.told(f"{id_}/0", lambda each: each["type"] == "RunFinished")
    assert "closing" not in [each["type"] for _, each in told]
    picture = f"api/pictures/{id_}/txt2img_1"
    assert (await studio.get(picture))["settings"]["prompt"] == evil
    forms = [f"{picture}/as/{form}" for form in ("plan", "infotext", "api")]
    for path in (f"api/plans/{id_}", "api/plans", picture, *forms):
        answer = await studio.client.get(path)
        assert answer.status_code == 200, path
        is_data(answer)
    assert (await studio.get("api/pictures", search=evil))["total"] == 1


async def test_what_a_server_says_and_what_a_file_is_called_is_data(runs: Path) -> None:
    evil = "".join(EVIL[:4])

    class Rude(Server):
        async def capabilities(self) -> Capabilities:
            raise BackendUnavailableError(evil)

    with mock.patch.dict(app.BACKENDS, server=Rude):
        async with served(runs) as studio:
            named = await studio.client.post("api/servers", json={"url": "http://a:1"})
            assert named.json()["problem"] == evil
            answer = await studio.client.get("api/form", params={"server": "http://a:1"})
            assert answer.status_code == 502
            assert answer.json()["errors"][0]["message"] == evil
            is_data(answer)
            for name in EVIL:
                pack = await studio.client.post(
                    "api/packs", params={"name": f"{name}.txt"}, content=b"a cat\na dog\n"
                )
                assert pack.status_code == 200, pack.text
                is_data(pack)
                assert not set('<>/\\:"\u202e\n') & set(pack.json()["name"])
            for name in ("/etc/a.txt", "..\\..\\a.txt", ".hidden.txt", "-rf.txt", "a\0.txt"):
                await studio.client.post("api/packs", params={"name": name}, content=b"a cat")
            kept = runs / "uploads"
            assert all(path.parent == kept and path.is_file() for path in kept.rglob("*"))
            assert not [path for path in kept.iterdir() if path.name.startswith((".", "-"))]


async def test_uploads_are_bounded_in_size_and_number(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stablenew.studio.exchange.MOST_IMAGE", 2_000)
    monkeypatch.setattr("stablenew.studio.exchange.MOST_PACK", 2_000)
    monkeypatch.setattr("stablenew.studio.uploads._MOST_FILES", 3)
    async with served(runs) as studio:
        for path in ("packs", "images", "workflows", "files"):
            answer = await studio.client.post(f"api/{path}?name=a.txt", content=b"a" * 2_001)
            assert answer.status_code == 413, path
        status = [
            (
                await studio.client.post(f"api/images?name={n}.png", content=png((8 + n, 8)))
            ).status_code
            for n in range(4)
        ]
        assert status == [200, 200, 200, 409]


async def test_a_job_names_no_file_outside_of_the_folder(runs: Path) -> None:
    secret = runs.parent / "secret.png"
    secret.write_bytes(png())
    runs.mkdir()
    (runs / "link.png").symlink_to(secret)
    async with served(runs) as studio:
        for name in ("image", "pack", "workflow", "wildcards", "presets"):
            for given in (str(secret), "../secret.png", "link.png", "~/x", "-rf", "a\0b"):
                job = {**SWEEP, name: given}
                job.pop("prompt", None) if name == "pack" else None
                told = await studio.post("api/dry-run", {"job": job})
                fields = [each["field"] for each in told["errors"]]
                assert name in fields, (name, given, told["errors"])


async def test_another_stablenews_plan_is_shown_and_not_touched(runs: Path) -> None:
    async with served(runs) as studio:
        await studio.post("api/queue", {"job": {**SWEEP, "max_steps": 1}}, 201)
        (ended,) = await studio.ended()
        plan_id = ended["plan_id"]
        marker = hold(runs, plan_id)
        try:
            assert (await studio.get("api/plans"))["items"][0]["state"] == "elsewhere"
            before = (runs / plan_id / "events.jsonl").read_bytes()
            await studio.post("api/queue", {"resume": plan_id}, 201)
            again = (await studio.ended(2))[1]
            assert again["outcome"] == "failed"
            assert "under way in another process" in again["error"]
            assert (runs / plan_id / "events.jsonl").read_bytes() == before
        finally:
            release(runs, plan_id, marker)


async def test_in_a_folder_that_cannot_be_written_to_everything_is_looked_at(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(runs) as studio:
        job = {**SWEEP, "seed": 1}
        await studio.post("api/queue", {"job": job}, 201)
        await studio.ended()
        monkeypatch.setattr("stablenew.studio.studio.os.access", lambda *_: False)
        state = await studio.get("api/state")
        assert "cannot write" in state["problem"]
        said = await studio.post("api/queue", {"job": job}, 409)
        assert "cannot write" in said["errors"][0]["message"]
        assert (await studio.get("api/pictures"))["total"] == 2
        assert (await studio.post("api/dry-run", {"job": job}))["there"] == 2


async def test_without_a_browser_the_address_is_said(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def no_browser(url: str) -> bool:
        opened.append(url)
        return False

    monkeypatch.setattr("webbrowser.open", no_browser)
    asked = command.read_studio(["--out", str(runs)], {})
    with command.bound("127.0.0.1", 0) as listening:
        await command._tell(asked, Access(token="abc"), listening)
    out, err = capsys.readouterr()
    address = out.split()[1]
    assert address.endswith("/?token=abc")
    assert opened == [address]
    assert "no browser here; open that address" in err
    assert "port 7870 is in use" in err
