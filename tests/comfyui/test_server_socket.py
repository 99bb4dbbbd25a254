"""A socket whose receives and openings are cancelled at any moment loses and leaks nothing."""

from __future__ import annotations

import json
import random

import anyio
import pytest

from stablenew.backends.server_client import ServerClient
from tests.comfyui.driving import ask_for_others
from tests.comfyui.server import serve
from tests.support import open_handles, rounds, until


async def test_a_receive_that_is_cancelled_loses_no_message() -> None:
    moments, times = random.Random(3), rounds(120, 10_000)
    with serve(step_seconds=0.001) as comfyui:
        async with (
            ServerClient(comfyui.url) as client,
            client.websocket("/ws?clientId=a") as socket,
        ):
            await until(lambda: comfyui.sockets.open)
            prompt_id = ask_for_others(comfyui, steps=10_000, client_id="a")
            steps: list[int] = []
            cut = 0
            while cut < times and len(steps) < 9_000:
                message: str | bytes | None = None
                with anyio.move_on_after(moments.uniform(0, 0.003)):
                    message = await socket.receive()
                if message is None:
                    cut += 1
                elif (told := json.loads(message))["type"] == "progress":
                    steps.append(told["data"]["value"])
            await client.send(f"/api/jobs/{prompt_id}/cancel")
    assert cut > times / 10
    assert steps == list(range(1, len(steps) + 1))


async def test_an_opening_that_is_cancelled_leaks_nothing() -> None:
    moments, times = random.Random(4), rounds(25, 1_000)
    with serve() as comfyui:
        async with ServerClient(comfyui.url) as client:
            await client.get("/prompt")
            before = open_handles()
            for _ in range(times):
                with anyio.move_on_after(moments.uniform(0, 0.02)):
                    async with client.websocket("/ws") as socket:
                        while True:
                            await socket.receive()
            await until(lambda: not comfyui.sockets.open)
            await until(lambda: open_handles() <= before)
    assert comfyui.sockets.ever


async def test_a_socket_that_cannot_be_opened_or_ends_is_one_kind_of_error() -> None:
    with serve() as comfyui:
        comfyui.sockets.refused = True
        async with ServerClient(comfyui.url) as client:
            with pytest.raises(ConnectionError, match="/ws"):
                async with client.websocket("/ws"):
                    pass
    async with ServerClient(comfyui.url) as client:
        with pytest.raises(ConnectionError):
            async with client.websocket("/ws"):
                pass
