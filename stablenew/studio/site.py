"""The routes of the studio; `docs/studio.md` says what each takes and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import anyio.to_thread
import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from stablenew.errors import ConfigError, StableNewError
from stablenew.studio.answers import (
    Answer,
    NotThereError,
    asked,
    error_answer,
    json_of,
    number_in,
    paged,
    refusal,
)
from stablenew.studio.event_stream import LiveEvents
from stablenew.studio.exchange import GETS, POSTS, in_thread, job_in
from stablenew.studio.feed import Mark
from stablenew.studio.followed_events import FollowedEvents
from stablenew.studio.form import form_of
from stablenew.studio.job_text import toml_of
from stablenew.studio.library import Asked
from stablenew.studio.pictures import picture_path
from stablenew.studio.queue_routes import QUEUE_GETS, QUEUE_POSTS
from stablenew.studio.rating_order import to_compare, to_rate
from stablenew.studio.ratings import GivenChoice, GivenRating
from stablenew.studio.studio import Studio

Handler = Callable[[Studio, Request], Awaitable[ASGIApp]]

_KEPT_BY_BROWSERS = {"Cache-Control": "private, max-age=31536000, no-cache"}
_PLANS, _PICTURES, _MOST_PLANS, _MOST_PICTURES = 50, 100, 200, 500


@attrs.frozen(kw_only=True)
class _ServerAsked:
    url: str
    auth: str | None = None


@attrs.frozen(kw_only=True)
class _ServerForgotten:
    id: str


def site(studio: Studio) -> Starlette:
    """Return the studio's routes, without the guard before them."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def answer(request: Request) -> Any:
            try:
                return await handler(studio, request)
            except StableNewError as error:
                return error_answer(error)

        return Route(path, answer, methods=[method])

    return Starlette(
        routes=[
            *(route(path, handler) for path, handler in {**_GETS, **GETS, **QUEUE_GETS}.items()),
            *(
                route(path, handler, "POST")
                for path, handler in {**_POSTS, **POSTS, **QUEUE_POSTS}.items()
            ),
            Mount("/static", StaticFiles(directory=_static("studio"), check_dir=False)),
            Mount("/shared", StaticFiles(directory=_static("report"), check_dir=False)),
        ],
        exception_handlers={HTTPException: _no_such},
    )


def _static(package: str) -> Path:
    return Path(str(resources.files(f"stablenew.{package}").joinpath("static")))


async def _no_such(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail)


async def _page(_: Studio, __: Request) -> Response:
    path = _static("studio") / "index.html"
    if not path.is_file():
        raise NotThereError("the studio's page is not part of this installation")
    return FileResponse(path, headers={"Cache-Control": "no-cache"})


@in_thread
def _state(studio: Studio, _: Request) -> object:
    return studio.state()


async def _form(studio: Studio, request: Request) -> Response:
    query = request.query_params
    ids = query.getlist("server") or ["embedded"]
    for each in ids if query.get("refresh") == "1" else ():
        await studio.servers.capabilities(each, anew=True)
    told, notes = await studio.servers.capabilities_of(ids, mix=query.get("mix_servers") == "1")
    return Answer({**form_of(ids[0], told), "servers": ids, "notes": notes})


async def _add_server(studio: Studio, request: Request) -> Response:
    given = await asked(request, _ServerAsked)
    return Answer((await studio.servers.add(given.url, given.auth)).plain)


async def _search_servers(studio: Studio, request: Request) -> Response:
    await json_of(request)
    await studio.servers.search()
    return Answer({"servers": studio.servers.plain})


async def _forget_server(studio: Studio, request: Request) -> Response:
    studio.servers.forget((await asked(request, _ServerForgotten)).id)
    return Answer({"servers": studio.servers.plain})


async def _dry_run(studio: Studio, request: Request) -> Response:
    return Answer(await studio.drafts.dry_answer(await job_in(request)))


def _asked_for(request: Request) -> Asked:
    query = request.query_params
    rating = query.get("rating") or "0"
    if rating not in "012345" or len(rating) != 1:
        raise ConfigError(f"rating: given {rating[:100]!r}, expected 1 to 5")
    texts = {name: query.get(name, "") for name in ("search", "model", "tag", "plan")}
    return Asked(rating=int(rating), **texts)


@in_thread
def _plans(studio: Studio, request: Request) -> object:
    per_page = number_in(request, "per_page", _PLANS, _MOST_PLANS)
    here = studio.here()
    library = studio.library
    found = library.listed(_asked_for(request))
    some, told = paged(found, number_in(request, "page", 1, 10**6), per_page)
    items = [library.summary(each, library.index.runs_of(each), here) for each in some]
    return {"items": items, **told, "indexing": studio.indexing()}


@in_thread
def _plan(studio: Studio, request: Request) -> object:
    return studio.plan(request.path_params["id"])


@in_thread
def _plan_job(studio: Studio, request: Request) -> object:
    return studio.job(request.path_params["id"])


async def _plan_toml(studio: Studio, request: Request) -> Response:
    id_ = request.path_params["id"]
    job = (await anyio.to_thread.run_sync(studio.job, id_))["job"]
    if job is None:
        raise NotThereError(f"{id_}: its plan file cannot be read")
    name = f'attachment; filename="{id_}.toml"'
    return Response(
        toml_of(job), media_type="application/toml", headers={"Content-Disposition": name}
    )


async def _plan_events(studio: Studio, request: Request) -> ASGIApp:
    folder = await anyio.to_thread.run_sync(studio.folder, request.path_params["id"])
    text = request.query_params.get("after") or "0"
    mark = Mark.read(request.headers.get("last-event-id") or f"{folder.name}/{text}")
    return FollowedEvents(folder=folder, after=mark.sequence if mark else 0)


@in_thread
def _to_rate(studio: Studio, request: Request) -> object:
    again = request.query_params.get("again") == "1"
    return {"pictures": to_rate(_pictures_of(studio, request), again=again)}


@in_thread
def _to_compare(studio: Studio, request: Request) -> object:
    return {"pairs": to_compare(studio.out, _pictures_of(studio, request))}


def _pictures_of(studio: Studio, request: Request) -> list[dict[str, Any]]:
    folder = studio.folder(request.path_params["id"])
    return studio.library.pictures(folder.name)


@in_thread
def _pictures(studio: Studio, request: Request) -> object:
    per_page = number_in(request, "per_page", _PICTURES, _MOST_PICTURES)
    best = request.query_params.get("sort") == "best"
    found = studio.library.found(_asked_for(request), best=best)
    some, told = paged(found, number_in(request, "page", 1, 10**6), per_page)
    return {"pictures": studio.library.shown(some), **told, "indexing": studio.indexing()}


@in_thread
def _picture(studio: Studio, request: Request) -> object:
    run = studio.folder(request.path_params["run"]).name  # no link, and nothing above
    return studio.library.picture(run, request.path_params["image"])


async def _rate(studio: Studio, request: Request) -> Response:
    given = await asked(request, GivenRating)
    await _check_there(studio, given.key)
    return Answer(await studio.ratings.rate(given))


async def _choose(studio: Studio, request: Request) -> Response:
    given = await asked(request, GivenChoice)
    for key in (given.winner, given.loser):
        await _check_there(studio, key)
    await studio.ratings.choose(given)
    return Answer({})


async def _check_there(studio: Studio, key: tuple[str, str]) -> None:
    """See that there is a picture, in a folder that is no link to elsewhere."""

    def look() -> None:
        studio.library.picture(studio.folder(key[0]).name, key[1])

    await anyio.to_thread.run_sync(look)


async def _undo(studio: Studio, request: Request) -> Response:
    await json_of(request)
    return Answer({"undone": await studio.ratings.undo()})


async def _file(studio: Studio, request: Request) -> Response:
    folder, name = request.path_params["folder"], request.path_params["name"]
    path = await anyio.to_thread.run_sync(picture_path, studio.out, folder, name)
    return FileResponse(path, headers=_KEPT_BY_BROWSERS)


async def _thumbnail(studio: Studio, request: Request) -> Response:
    made = await studio.thumbnails.get(request.path_params["run"], request.path_params["image"])
    if isinstance(made, bytes):
        return Response(made, media_type="image/jpeg")
    return FileResponse(made, media_type="image/jpeg", headers=_KEPT_BY_BROWSERS)


async def _preview(studio: Studio, request: Request) -> Response:
    data = studio.feed.previews.get(request.path_params["run"])
    if data is None:
        raise NotThereError("no preview")
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    kind = "image/webp" if data[8:12] == b"WEBP" else kind
    return Response(data, media_type=kind, headers={"Cache-Control": "no-store"})


async def _events(studio: Studio, request: Request) -> ASGIApp:
    text = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    return LiveEvents(feed=studio.feed, state=studio.state, after=Mark.read(text))


_GETS: dict[str, Handler] = {
    "/": _page,
    "/api/state": _state,
    "/api/form": _form,
    "/api/plans": _plans,
    "/api/plans/{id}": _plan,
    "/api/plans/{id}/job": _plan_job,
    "/api/plans/{id}/plan.toml": _plan_toml,
    "/api/plans/{id}/events": _plan_events,
    "/api/plans/{id}/to-rate": _to_rate,
    "/api/plans/{id}/to-compare": _to_compare,
    "/api/pictures": _pictures,
    "/api/pictures/{run}/{image}": _picture,
    "/api/preview/{run}": _preview,
    "/api/events": _events,
    "/files/{folder}/{name}": _file,
    "/thumbnails/{run}/{image}.jpg": _thumbnail,
}
_POSTS: dict[str, Handler] = {
    "/api/servers": _add_server,
    "/api/servers/search": _search_servers,
    "/api/servers/forget": _forget_server,
    "/api/dry-run": _dry_run,
    "/api/ratings": _rate,
    "/api/choices": _choose,
    "/api/undo": _undo,
}
