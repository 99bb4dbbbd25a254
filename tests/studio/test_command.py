"""`stablenew studio` as a program: where it listens, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import anyio
import httpx2
import pytest

from stablenew.app import App
from stablenew.errors import ConfigError
from stablenew.studio import command, servers
from stablenew.studio.command import bound, read_studio, run_studio
from stablenew.studio.studio import Studio
from tests.studio.serving import served
from tests.webui.server import serve


def test_a_port_in_use_is_passed_by_unless_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(command, "PORT", port)
        with bound("127.0.0.1", None) as other:
            assert port < other.getsockname()[1] < port + 20
        with pytest.raises(ConfigError, match=f"--port: given {port}, .*in use"):
            bound("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"--host: given '203\.0\.113\.7'"):
        bound("203.0.113.7", None)


@pytest.mark.parametrize("port", ["x", "-1", "65536", "1e3", "99999999999"])
def test_what_is_no_port_is_said(port: str) -> None:
    with pytest.raises(ConfigError, match="--port: given"):
        read_studio([f"--port={port}"], {})


def test_several_servers_are_named_by_several_urls() -> None:
    urls = ["--url", "127.0.0.1:7860", "--url", "http://box:8188"]
    settings = read_studio(urls, {}).settings
    assert settings.urls == ("http://127.0.0.1:7860", "http://box:8188")
    assert read_studio([], {}).settings.backend == "embedded"


async def test_what_an_earlier_studio_left_is_said_in_the_terminal(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / ".studio").mkdir(parents=True)
    (runs / ".studio" / "queue.json").write_text("{")
    async with served(runs) as studio:
        await command._tell_queue(studio.studio)
        studio.studio.queue.held = True
        await command._tell_queue(studio.studio)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("put aside as queue.broken-1.json")
    assert "resume or start it" in lines[2]


class UntilFound:
    """Ends a studio when it has told of a server."""

    def __init__(self, made: list[Studio]) -> None:
        self.made = made
        self.found: list[object] = []

    async def watch(self, cancel: Callable[[], None], /) -> None:
        while not self.found:
            await anyio.sleep(0.01)
            servers = [each for studio in self.made for each in studio.servers.plain]
            self.found = [(each["url"], each["backend"]) for each in servers if each["url"]]
        cancel()

    def leaving(self, leave: Callable[[], None], /) -> AbstractContextManager[None]:
        return nullcontext()


async def test_the_servers_of_this_machine_are_found_when_it_starts(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Studio] = []

    def making(app: App) -> Studio:
        made.append(Studio(app))
        return made[0]

    monkeypatch.setattr(command, "Studio", making)
    with serve() as webui:
        monkeypatch.setattr(servers, "USUAL", (9, int(webui.url.rpartition(":")[2])))
        stops = UntilFound(made)
        with anyio.fail_after(20):
            await run_studio(read_studio(["--out", str(runs), "--no-open", "--port=0"], {}), stops)
    assert stops.found == [(webui.url, "webui")]


PROGRAM = (
    "import sys; from stablenew.run import command; from stablenew.studio import servers;"
    "servers.USUAL = (); sys.exit(command())"
)


def test_ctrl_c_cancels_the_plan_tells_the_tab_and_ends(runs: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, "studio", "--no-open", "--port", "0", "--out"]
    with subprocess.Popen([*words, str(runs)], stdout=subprocess.PIPE, text=True) as program:
        guard = threading.Timer(50, program.kill)
        guard.start()
        try:
            assert program.stdout is not None
            address = program.stdout.readline().split()[1]
            told = _told_until_the_end(address, program)
            assert program.wait() == 130
        finally:
            guard.cancel()
            program.kill()
    kinds = [each["type"] for each in told]
    assert kinds[-1] == "closing"
    finished = told[kinds.index("PlanFinished")]
    assert finished["outcome"] == "cancelled"
    (log,) = runs.glob("*/events.jsonl")
    assert json.loads(log.read_text().splitlines()[-1])["type"] == "PlanFinished"


def _told_until_the_end(address: str, program: subprocess.Popen[str]) -> list[dict[str, str]]:
    job = {
        "prompt": "a blue cat",
        "images_per_step": 500,
        "learning": {"axes": [{"path": "txt2img.cfg_scale", "values": [1, 3]}]},
    }
    told = []
    with httpx2.Client(base_url=address.partition("?")[0], timeout=40) as client:
        client.get(address)
        with client.stream("GET", "api/events") as events:
            for line in events.iter_lines():
                if line.startswith("data: "):
                    told.append(json.loads(line[6:]))
                    if told[-1]["type"] == "hello":
                        assert client.post("api/queue", json={"job": job}).status_code == 201
                    if told[-1]["type"] == "PictureSaved" and told[-1]["image"] == 1:
                        os.kill(program.pid, signal.SIGINT)
    return told
