"""Routes by which things come in and go out: uploads, plan files, a picture's settings, advice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio.to_thread
import attrs
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from stablenew.backends.comfyui.workflows.workflow_stage import ComfyUIWorkflows
from stablenew.errors import ConfigError
from stablenew.studio.advising import AdviceAsked
from stablenew.studio.answers import (
    Answer,
    asked,
    body_of,
    json_of,
    number_in,
    paged,
    said_errors,
)
from stablenew.studio.dropped import taken
from stablenew.studio.job_text import command_line, toml_of
from stablenew.studio.jobs import placed_files
from stablenew.studio.picture_forms import as_form, job_of_picture
from stablenew.studio.plan_files import job_of_table, read_table
from stablenew.studio.studio import Studio
from stablenew.studio.uploads import MOST_IMAGE, MOST_PACK
from stablenew.studio.workflow_form import workflow_form

Handler = Callable[[Studio, Request], Awaitable[ASGIApp]]

_PROMPTS, _MOST_PROMPTS = 100, 1_000


def in_thread(work: Callable[[Studio, Request], object]) -> Handler:
    """Return a handler whose work, which blocks, is done off the loop."""

    async def handler(studio: Studio, request: Request) -> ASGIApp:
        return Answer(await anyio.to_thread.run_sync(work, studio, request))

    return handler


async def job_in(request: Request) -> Mapping[str, Any]:
    """Return the job that a request carries.

    Raises:
        ConfigError: It carries none.
    """
    job = (await json_of(request)).get("job")
    if not isinstance(job, Mapping):
        raise ConfigError("job: missing; expected the fields of a plan file")
    return job


@attrs.frozen(kw_only=True)
class _FileAsked:
    text: str
    name: str = "plan.toml"


async def _read_plan_file(_: Studio, request: Request) -> Response:
    """Return a plan file's text as a job, with what is wrong in it."""
    given = await asked(request, _FileAsked)
    return Answer(job_of_table(read_table(given.text, given.name)))


async def _write_plan_file(studio: Studio, request: Request) -> Response:
    job = await job_in(request)
    text = toml_of(placed_files(job, studio.out))
    return Answer({"text": text, "command": command_line(job, studio.out)[0]})


@in_thread
def _packs(studio: Studio, _: Request) -> object:
    return {"packs": studio.uploads.packs()}


@in_thread
def _pack(studio: Studio, request: Request) -> object:
    prompts = [
        {"index": number, "prompt": each.positive, "negative_prompt": each.negative}
        for number, each in enumerate(studio.uploads.pack(request.path_params["name"]), start=1)
    ]
    per_page = number_in(request, "per_page", _PROMPTS, _MOST_PROMPTS)
    some, told = paged(prompts, number_in(request, "page", 1, 10**6), per_page)
    return {"prompts": some, **told}


async def _add_pack(studio: Studio, request: Request) -> Response:
    data = await body_of(request, MOST_PACK)
    name = request.query_params.get("name", "")
    return Answer(await anyio.to_thread.run_sync(studio.uploads.add_pack, name, data))


async def _add_image(studio: Studio, request: Request) -> Response:
    data = await body_of(request, MOST_IMAGE)
    name = request.query_params.get("name", "")
    return Answer(await anyio.to_thread.run_sync(studio.uploads.add_image, name, data))


async def _add_workflow(studio: Studio, request: Request) -> Response:
    data = await body_of(request, MOST_IMAGE)
    name = request.query_params.get("name", "")
    return Answer(await anyio.to_thread.run_sync(studio.uploads.add_workflow, name, data))


async def _take_file(studio: Studio, request: Request) -> Response:
    """Take whatever it is that was dropped onto the page, and say what it is."""
    data = await body_of(request, MOST_IMAGE)
    name = request.query_params.get("name", "")
    return Answer(await anyio.to_thread.run_sync(taken, studio.uploads, name, data))


@in_thread
def _workflows(studio: Studio, _: Request) -> object:
    return {"workflows": studio.uploads.workflows()}


async def _workflow_form(studio: Studio, request: Request) -> Response:
    query = request.query_params
    server, info, errors = query.get("server"), None, []
    if server:
        told = await studio.servers.capabilities(server)
        if isinstance(told.workflows, ComfyUIWorkflows):
            info = told.workflows.info
        else:
            errors = said_errors([f"url: the {told.title} runs no workflow; expected a ComfyUI"])
    given, output = query.get("workflow", ""), query.get("output") or None
    form = await anyio.to_thread.run_sync(workflow_form, studio.out, given, output, info)
    return Answer({**form, "server": server, "errors": [*errors, *form["errors"]]})


async def _picture_as(studio: Studio, request: Request) -> Response:
    run_id, image_id, form = (request.path_params[name] for name in ("run", "image", "form"))

    def look() -> tuple[str, str] | dict[str, Any]:
        picture = studio.library.picture(studio.folder(run_id).name, image_id)
        if form == "job":
            return job_of_picture(studio.out, picture)
        return as_form(studio.out, picture, form)

    found = await anyio.to_thread.run_sync(look)
    if isinstance(found, dict):
        return Answer({"job": found})
    text, ending = found
    name = f'inline; filename="{run_id}-{image_id}.{ending}"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
    return Response(text, media_type="text/plain; charset=utf-8", headers=headers)


async def _advice(studio: Studio, request: Request) -> Response:
    names = [field.name for field in attrs.fields(AdviceAsked)]
    given = {name: request.query_params.get(name) or None for name in names}
    return Answer(await studio.advice(AdviceAsked(**given)))


GETS: Mapping[str, Handler] = {
    "/api/workflows": _workflows,
    "/api/workflow-form": _workflow_form,
    "/api/packs": _packs,
    "/api/packs/{name}": _pack,
    "/api/pictures/{run}/{image}/as/{form}": _picture_as,
    "/api/advice": _advice,
}
POSTS: Mapping[str, Handler] = {
    "/api/files": _take_file,
    "/api/workflows": _add_workflow,
    "/api/packs": _add_pack,
    "/api/images": _add_image,
    "/api/plan-file": _read_plan_file,
    "/api/plan-file/from-job": _write_plan_file,
}
