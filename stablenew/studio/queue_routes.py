"""Routes of the queue: what waits, runs, and was interrupted."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from starlette.requests import Request
from starlette.responses import Response

from stablenew.studio.answers import Answer, asked, json_of
from stablenew.studio.exchange import Handler
from stablenew.studio.studio import Studio


@attrs.frozen(kw_only=True)
class _Moved:
    before: str | None = None


def _told(studio: Studio) -> Response:
    return Answer({"items": studio.queue.plain, "held": studio.queue.held})


async def _enqueue(studio: Studio, request: Request) -> Response:
    return Answer(await studio.enqueue(await json_of(request)), 201)


async def _queue(studio: Studio, _: Request) -> Response:
    return _told(studio)


async def _move(studio: Studio, request: Request) -> Response:
    await studio.queue.move(request.path_params["id"], (await asked(request, _Moved)).before)
    return _told(studio)


async def _remove(studio: Studio, request: Request) -> Response:
    await json_of(request)
    await studio.queue.remove(request.path_params["id"])
    return _told(studio)


async def _start(studio: Studio, request: Request) -> Response:
    await json_of(request)
    await studio.queue.start()
    return _told(studio)


async def _go_on(studio: Studio, request: Request) -> Response:
    await json_of(request)
    return Answer(studio.queue.plain_of(await studio.queue.go_on(request.path_params["id"])))


async def _pause(studio: Studio, request: Request) -> Response:
    await json_of(request)
    return Answer(studio.queue.plain_of(await studio.queue.pause()))


async def _resume(studio: Studio, request: Request) -> Response:
    await json_of(request)
    return Answer(studio.queue.plain_of(await studio.queue.resume()))


async def _skip_step(studio: Studio, request: Request) -> Response:
    await json_of(request)
    return Answer(studio.queue.plain_of(studio.queue.skip_step()))


async def _cancel(studio: Studio, request: Request) -> Response:
    await json_of(request)
    return Answer(studio.queue.plain_of(await studio.queue.cancel()))


QUEUE_GETS: Mapping[str, Handler] = {"/api/queue": _queue}
QUEUE_POSTS: Mapping[str, Handler] = {
    "/api/queue": _enqueue,
    "/api/queue/start": _start,
    "/api/queue/{id}/move": _move,
    "/api/queue/{id}/remove": _remove,
    "/api/queue/{id}/resume": _go_on,
    "/api/pause": _pause,
    "/api/resume": _resume,
    "/api/skip-step": _skip_step,
    "/api/cancel": _cancel,
}
