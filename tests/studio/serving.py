"""A studio on a port of its own, in the loop of the test, and a client that is let in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx2
import uvicorn

from stablenew import Behaviour, FakeBackend, Settings, open_app
from stablenew.errors import ungrouped
from stablenew.studio.access import Access
from stablenew.studio.command import _Server, bound
from stablenew.studio.guard import Guard
from stablenew.studio.site import site
from stablenew.studio.studio import Studio

TOKEN = "the-token-of-this-test"
SWEEP: dict[str, Any] = {
    "prompt": "a cat",
    "backend": "fake",
    "learning": {"axes": [{"path": "txt2img.cfg_scale", "values": [1, 3]}]},
}


@attrs.frozen(kw_only=True)
class Served:
    client: httpx2.AsyncClient
    stranger: httpx2.AsyncClient
    studio: Studio
    port: int

    async def get(self, path: str, **query: str) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, data: object = None, status: int = 200) -> Any:
        answer = await self.client.post(path, json={} if data is None else data)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many plans have ended."""
        number = 0
        while len([each for each in self.studio.queue.plain if each["state"] == "ended"]) < count:
            await self.studio.feed.news(number)
            number = self.studio.feed.told
        return self.studio.queue.plain

    async def told(self, after: str, until: Callable[[dict[str, Any]], bool]) -> list[Any]:
        """Return what a tab is told, each with its id, until something."""
        found = []
        async with self.client.stream("GET", "api/events", params={"after": after}) as answer:
            id_ = ""
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    id_ = line[4:]
                elif line.startswith("data: "):
                    found.append((id_, json.loads(line[6:])))
                    id_ = ""
                    if until(found[-1][1]):
                        break
        return found


@asynccontextmanager
async def served(
    out: Path, backend: FakeBackend | None = None, access: Access | None = None
) -> AsyncIterator[Served]:
    listening = bound("127.0.0.1", 0)
    settings = Settings(out=out, backend="fake")
    with closing(listening), ungrouped():
        async with (
            open_app(settings, backend=backend or FakeBackend()) as app,
            anyio.create_task_group() as tasks,
        ):
            studio = Studio(app)
            server = _Server(
                uvicorn.Config(
                    Guard(site(studio), access or Access(token=TOKEN)),
                    log_config=None,
                    lifespan="off",
                    ws="none",
                    timeout_graceful_shutdown=1,
                )
            )
            tasks.start_soon(studio.run)
            async with anyio.create_task_group() as serving:
                serving.start_soon(partial(server.serve, sockets=[listening]))
                port = listening.getsockname()[1]
                url = f"http://127.0.0.1:{port}/"
                async with (
                    httpx2.AsyncClient(base_url=url) as client,
                    httpx2.AsyncClient(base_url=url) as stranger,
                ):
                    await client.get("/", params={"token": TOKEN})
                    yield Served(client=client, stranger=stranger, studio=studio, port=port)
                await studio.close()
                server.should_exit = True
            tasks.cancel_scope.cancel()


def hanging(begun: anyio.Event) -> FakeBackend:
    """A backend whose first picture never comes."""

    def behave(_: object, call: int) -> Behaviour:
        begun.set()
        return Behaviour(hang=call == 1)

    return FakeBackend(behave)
