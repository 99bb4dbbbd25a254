"""A WebUI without a model, on a real socket: what servers do, in their ways, at a speed of choice.

with serve(A1111) as webui: …    # in a thread; `webui` shows and steers what it does
python -m tests.webui.server PORT …    # a process of its own, to be killed
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import uvicorn

from tests.webui import sdcpp, sdnext
from tests.webui.generation import Generation, generate
from tests.webui.pictures import NoPictureError, enlarged, opened, parameters, png
from tests.webui.profiles import (
    A1111,
    ALL,
    DETECTORS,
    LATENT_MODES,
    MODELS,
    SAMPLERS,
    SCHEDULERS,
    SCRIPTS,
    UPSCALERS,
    Profile,
)
from tests.webui.requests import Refusal, http, invalid, openapi, understand
from tests.webui.shelf import Shelf

Reply = tuple[int, object]
_THREADS = 40
"""Requests of any kind that are served at once: a queue of more makes even /progress wait."""


@attrs.define(eq=False)
class State:
    """What /progress shows."""

    job: str = ""
    job_count: int = 0
    job_no: int = 0
    job_timestamp: str = "0"
    sampling_step: int = 0
    sampling_steps: int = 0
    skipped: bool = False
    interrupted: bool = False
    started: float = 0.0

    def begin(self, job: str) -> None:
        self.job, self.job_count, self.job_no, self.sampling_step = job, -1, 0, 0
        self.skipped = self.interrupted = False
        self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.started = time.monotonic()

    def end(self) -> None:
        self.job, self.job_count = "", 0

    @property
    def fraction(self) -> float:
        if self.job_count == 0:
            return 0.0
        done = self.job_no + self.sampling_step / max(self.sampling_steps, 1)
        return min(0.01 + max(done / self.job_count, 0.0), 1.0)


@attrs.define(eq=False)
class Job:
    """A generation that was begun, for tests to look at."""

    owner: str
    kind: str
    body: Mapping[str, Any]
    began: float
    ended: float | None = None
    interrupts: list[str] = attrs.field(factory=list)
    """Who interrupted it."""


@attrs.define(eq=False)
class WebUI:
    """One server.

    Attributes:
        step_seconds: How long a sampling step takes.
        begin_delay: How long a request works before its job begins.
        load_seconds: How long loading another model takes.
        hang_at_step: The step at which sampling stops to move, for the next job.
        samples_format: `png`, `jpg` or `webp`.
        without_weights: Upscalers whose files are not there: it takes Lanczos without a word.
        shelf: The files beside the models.
        sdnext: What only an SD.Next has.
        saved_options: Those in the settings file: only they are restored after a request.
        requests: Everything that was asked: method, path, body.
        jobs: Every job that was begun, in order.
        closed_by: Every request whose client had gone before the end.
    """

    profile: Profile = A1111
    step_seconds: float = 0.0
    begin_delay: float = 0.0
    load_seconds: float = 0.0
    hang_at_step: int | None = None
    samples_format: str = ""
    picture_bytes: bytes | None = None
    without_pictures: bool = False
    fail_with: Refusal | None = None
    memory: Mapping[str, Any] = {"ram": {}, "cuda": {"error": "unavailable"}}
    gpus: list[Mapping[str, Any]] = attrs.field(factory=list)
    models: tuple[str, ...] = MODELS
    model: str = MODELS[0]
    without_weights: frozenset[str] = frozenset()
    shelf: Shelf = attrs.field(factory=Shelf)
    sdnext: sdnext.Own = attrs.field(factory=sdnext.Own)
    options: dict[str, Any] = attrs.field(factory=dict)
    saved_options: set[str] = attrs.field(factory=set)
    requests: list[tuple[str, str, Any]] = attrs.field(factory=list)
    headers: list[Mapping[str, str]] = attrs.field(factory=list)
    jobs: list[Job] = attrs.field(factory=list)
    running: Job | None = None
    state: State = attrs.field(factory=State)
    tasks: dict[str, str] = attrs.field(factory=dict)
    refused: Mapping[str, Refusal] = attrs.field(factory=dict)
    url: str = ""
    _queue: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    _threads: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(_THREADS))

    def __attrs_post_init__(self) -> None:
        self.options = {
            "samples_format": self.samples_format or ("jpg" if self.profile.sdnext else "png"),
            "CLIP_stop_at_last_layers": 1,
            "sd_vae": "Automatic",
            "sd_model_checkpoint": self.title(self.model),
            "return_grid": True,
            "enable_pnginfo": True,
            **self.options,
        }
        if self.profile.sdnext and self.sdnext.loaded:
            self.options["clip_skip"] = 1
        elif self.profile.sdnext:
            del self.options["sd_model_checkpoint"]
        if self.profile.forge:
            del self.options["sd_vae"]
            self.options.setdefault("forge_additional_modules", [])

    def title(self, model: str) -> str:
        return sdnext.title(model) if self.profile.sdnext else f"{model}.safetensors"

    def paths(self, ending: str) -> list[Any]:
        """Return the bodies of the requests to a path."""
        return [body for _, path, body in self.requests if path.endswith(ending)]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        async with self._threads:
            status, payload = await self._answer(scope, headers, raw)
        body = b"" if payload is None else json.dumps(payload).encode()
        body = b"null" if payload == _NULL else body
        kind = b"application/json"
        if isinstance(payload, bytes):
            body, kind = payload, b"text/html; charset=utf-8"
        length = (b"content-length", str(len(body)).encode())
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", kind), length],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: Mapping[str, Any], headers: Mapping[str, str], raw: bytes
    ) -> Reply:
        path, method = urlsplit(scope["path"]).path, scope["method"]  # a proxy is told all of it
        query = scope["query_string"].decode()
        try:
            if path.startswith("/sdapi") and self.profile.auth:
                _check_auth(headers.get("authorization", ""), self.profile.auth)
            if path in self.refused:
                raise self.refused[path]
            doors = self._doors()
            if (method, path) in doors:
                body = _decoded(raw, headers) if method == "POST" else query
                self.requests.append((method, path, body))
                self.headers.append(headers)
                reply = await doors[method, path](body, headers.get("user-agent", ""))
                if self.profile.sdnext:  # after the work, which is lost then
                    self.sdnext.limit.check(path)
                return reply
            known = any(door == path for _, door in doors)
            if known and self.profile.full:
                return 405, {"detail": "Method Not Allowed"}
            return (404, {"detail": "Not Found"}) if self.profile.full else (404, None)
        except Refusal as refusal:
            return self._refused(refusal)
        except NoPictureError:
            return self._refused(http(500, "Invalid encoded image"))

    def _refused(self, refusal: Refusal) -> Reply:
        """Return an error in the shape of this server."""
        if self.profile.errors == "sdcpp":
            return sdcpp.refused(refusal)
        if self.profile.sdnext and (said := sdnext.refused(refusal)):
            return refusal.status, said
        if isinstance(refusal.says, list) or not refusal.kind:
            return refusal.status, {"detail": refusal.says}
        stated = refusal.kind == "HTTPException"
        detail = refusal.says if stated else ""
        says = "" if stated else refusal.says
        shape = {"error": refusal.kind, "detail": detail, "body": ""}
        if self.profile.forge:
            plain = {"detail": refusal.says}
            return refusal.status, plain if stated else {**shape, "message": says}
        if self.profile.sdnext:
            return refusal.status, {**shape, "code": refusal.status, "errors": says}
        return refusal.status, {**shape, "errors": says}

    def _doors(self) -> dict[tuple[str, str], Callable[[Any, str], Awaitable[Reply]]]:
        api = "/sdapi/v1"
        doors: dict[tuple[str, str], Callable[[Any, str], Awaitable[Reply]]] = {
            ("POST", f"{api}/txt2img"): self._txt2img,
            ("POST", f"{api}/img2img"): self._img2img,
            ("GET", f"{api}/options"): self._get_options,
            ("GET", f"{api}/samplers"): _always(_samplers()),
            ("GET", f"{api}/schedulers"): _always(_schedulers(self.profile)),
            ("GET", f"{api}/sd-models"): self._get_models,
            ("GET", f"{api}/upscalers"): _always(_upscalers(self.without_weights)),
            ("GET", f"{api}/latent-upscale-modes"): _always([{"name": n} for n in LATENT_MODES]),
            ("GET", f"{api}/loras"): self._list(self.shelf.lora_list),
        }
        if not self.profile.full:
            doors |= {
                ("GET", f"{api}/options"): _always(sdcpp.options(self)),
                ("GET", f"{api}/samplers"): _always(sdcpp.samplers()),
                ("GET", f"{api}/schedulers"): _always(sdcpp.schedulers()),
                ("GET", f"{api}/sd-models"): _always(sdcpp.models(self)),
                ("GET", f"{api}/upscalers"): _always(sdcpp.upscalers()),
            }
        if self.profile.full:
            doors |= self._full_doors(api)
        if self.profile.sdnext:
            del doors["GET", f"{api}/latent-upscale-modes"]
            doors |= self._sdnext_doors(api)
        if self.profile.forge:
            del doors["GET", f"{api}/sd-vae"]
            doors["GET", f"{api}/sd-modules"] = self._list(self.shelf.module_list)
        if self.profile.adetailer:
            doors["GET", "/adetailer/v1/ad_model"] = _always({"ad_model": list(DETECTORS)})
            doors["GET", "/adetailer/v1/version"] = _always({"version": "25.3.0"})
        if self.profile.ui:
            doors["GET", "/internal/ping"] = _always({})
            doors["GET", "/internal/pending-tasks"] = self._pending
            doors["POST", "/internal/progress"] = self._task_progress
            doors["GET", "/"] = _always(b"<!doctype html><title>Stable Diffusion</title>")
        return doors

    def _full_doors(
        self, api: str
    ) -> dict[tuple[str, str], Callable[[Any, str], Awaitable[Reply]]]:
        scripts = {k: [*v, *(["adetailer"] * self.profile.adetailer)] for k, v in SCRIPTS.items()}
        empty: Reply = (204, None) if self.profile.sdnext else (200, {})
        skipped: Reply = (204, None) if self.profile.sdnext else (200, _NULL)
        return {
            ("GET", f"{api}/progress"): self._progress,
            ("GET", f"{api}/memory"): self._list(lambda: self.memory),
            ("POST", f"{api}/interrupt"): self._interrupt(empty, skip=False),
            ("POST", f"{api}/skip"): self._interrupt(skipped, skip=True),
            ("POST", f"{api}/options"): self._set_options,
            ("GET", f"{api}/scripts"): _always(scripts),
            ("GET", "/openapi.json"): _always(openapi(self.profile)),
            ("GET", f"{api}/sd-vae"): self._list(self.shelf.vae_list),
            ("GET", f"{api}/embeddings"): self._list(self.shelf.embedding_list),
            ("POST", f"{api}/refresh-loras"): self._refresh_loras,
            ("GET", f"{api}/hypernetworks"): _always([]),
            ("GET", f"{api}/prompt-styles"): self._list(lambda: self.shelf.styles),
            ("GET", f"{api}/face-restorers"): _always(
                [{"name": n, "cmd_dir": None} for n in ("CodeFormer", "GFPGAN")]
            ),
            ("POST", f"{api}/extra-single-image"): self._extras,
            ("POST", f"{api}/extra-batch-images"): self._extras_batch,
            ("POST", f"{api}/png-info"): _png_info,
            ("POST", f"{api}/interrogate"): _interrogate,
            ("POST", f"{api}/refresh-checkpoints"): _always(_NULL),
            ("POST", f"{api}/unload-checkpoint"): _always({}),
            ("POST", f"{api}/reload-checkpoint"): _always({}),
        }

    def _sdnext_doors(
        self, api: str
    ) -> dict[tuple[str, str], Callable[[Any, str], Awaitable[Reply]]]:
        return {
            ("GET", f"{api}/options"): self._list(lambda: sdnext.options(self)),
            ("GET", f"{api}/sd-models"): self._list(lambda: sdnext.models(self)),
            ("GET", f"{api}/checkpoint"): self._list(lambda: sdnext.checkpoint(self)),
            ("GET", f"{api}/samplers"): _always(sdnext.samplers()),
            ("GET", f"{api}/upscalers"): _always(sdnext.upscalers()),
            ("POST", f"{api}/checkpoint"): _no_query,
            ("GET", f"{api}/gpu"): self._list(lambda: self.gpus),
            ("POST", f"{api}/unload-checkpoint"): self._unload,
            ("GET", f"{api}/sampler"): self._list(lambda: sdnext.sampler(self)),
            ("GET", f"{api}/history"): self._list(lambda: self.sdnext.history),
            ("GET", f"{api}/status"): self._list(lambda: sdnext.status(self)),
            ("POST", "/internal/progress"): self._sdnext_progress,
        }

    async def _unload(self, _: Any, __: str) -> Reply:
        self.sdnext.loaded = False
        return 204, None

    async def _sdnext_progress(self, body: Any, _: str) -> Reply:
        return 200, sdnext.internal_progress(self, _table(body))

    def _list(self, listed: Callable[[], object]) -> Callable[[Any, str], Awaitable[Reply]]:
        async def door(_: Any, __: str) -> Reply:
            return 200, listed()

        return door

    async def _refresh_loras(self, _: Any, __: str) -> Reply:
        self.shelf.refresh()
        return 200, _NULL

    async def _txt2img(self, body: Any, owner: str) -> Reply:
        return await self._generate(body, "txt2img", owner)

    async def _img2img(self, body: Any, owner: str) -> Reply:
        return await self._generate(body, "img2img", owner)

    async def _generate(self, body: Any, kind: str, owner: str) -> Reply:
        if not self.profile.full:
            return await generate(Generation(self, None, body, kind, owner))
        asked = understand(_table(body), kind, self.profile)
        for style in self.shelf.styles:
            if style["name"] in (asked["styles"] or ()):
                asked.fields["prompt"] += f", {style['prompt']}"
        if kind == "img2img" and asked["init_images"] is None:
            raise (
                Refusal(400, "", "Init image is none")
                if self.profile.sdnext
                else http(404, "Init image not found")
            )
        return await generate(Generation(self, asked, body, kind, owner))

    async def _get_options(self, _: Any, __: str) -> Reply:
        layers = self.options["CLIP_stop_at_last_layers"]
        if not isinstance(layers, int | float):
            says = "1 validation error for Options\nresponse -> CLIP_stop_at_last_layers"
            raise Refusal(500, "ValidationError", f"{says}\n  value is not a valid integer")
        return 200, {**self.options, "CLIP_stop_at_last_layers": float(layers)}  # whatever it was

    async def _set_options(self, body: Any, _: str) -> Reply:
        if self.profile.sdnext:
            return 200, await sdnext.set_options(self, _table(body))
        for key, value in _table(body).items():
            if key not in self.options:
                raise Refusal(500, "KeyError", repr(key))
            if key == "sd_model_checkpoint":
                found = self.find_model(value)
                if found is None:
                    raise Refusal(500, "RuntimeError", f"model {value!r} not found")
                async with self._queue:
                    self.model, value = found, self.title(found)
            if key == "forge_additional_modules":
                value = self.shelf.module_files(value)
                if value == self.options[key]:  # and is not put into the settings either
                    continue
            self.options[key] = value
            self.saved_options.add(key)
        return 200, _NULL

    async def _get_models(self, _: Any, __: str) -> Reply:
        return 200, [
            {
                "title": self.title(model),
                "model_name": model,
                "hash": None,
                "sha256": None,
                "filename": f"/srv/webui/models/sd/{model}.safetensors",
                "config": f"/srv/webui/models/sd/{model}.yaml",
            }
            for model in self.models
        ]

    async def interrupted(self) -> None:
        """Hang until somebody interrupts."""
        while not self.state.interrupted:  # as the samplers look at it
            await asyncio.sleep(0.005)

    def find_model(self, spelling: object) -> str | None:
        if self.profile.sdnext:
            return sdnext.find_model(self, spelling)
        bare = str(spelling).partition(" [")[0].removesuffix(".safetensors")
        return bare if bare in self.models else None

    async def _progress(self, query: str, _: str) -> Reply:
        state = self.state
        busy = state.job_count != 0
        fraction = state.fraction
        elapsed = time.monotonic() - state.started
        shown = {
            name: getattr(state, name)
            for name in (
                *("skipped", "interrupted", "job", "job_count", "job_timestamp"),
                *("job_no", "sampling_step", "sampling_steps"),
            )
        }
        if not self.profile.sdnext:
            shown["stopping_generation"] = False
        preview = None
        if busy and state.sampling_step and "skip_current_image=true" not in query:
            preview = base64.b64encode(png(16, 16, 0, {})).decode()
        answer: dict[str, object] = {
            "progress": round(fraction, 2) if self.profile.sdnext else fraction,
            "eta_relative": elapsed / fraction - elapsed if fraction else 0.0,
            "state": shown,
            "current_image": preview,
            "textinfo": None,
        }
        return 200, {"id": self.sdnext.id, **answer} if self.profile.sdnext else answer

    def _interrupt(self, reply: Reply, *, skip: bool) -> Callable[[Any, str], Awaitable[Reply]]:
        async def interrupt(_: Any, owner: str) -> Reply:
            if self.running is not None:
                self.running.interrupts.append(owner)
            self.sdnext.interrupted_at.append(self.state.job)
            self.state.skipped |= skip
            self.state.interrupted |= not skip
            return reply

        return interrupt

    async def _pending(self, _: Any, __: str) -> Reply:
        queued = [task for task, state in self.tasks.items() if state == "queued"]
        return 200, {"size": len(queued), "tasks": queued}

    async def _task_progress(self, body: Any, _: str) -> Reply:
        told = self.tasks.get(body.get("id_task", ""), "")
        active = told in ("active", "failed")
        fraction = max(self.state.fraction - 0.01, 0.0) if told == "active" else 0.0
        queued = told == "queued"
        texts = {"queued": "In queue: 1/1", "active": None, "failed": None}
        return 200, {
            "active": active,
            "queued": queued,
            "completed": told == "completed",
            "progress": fraction if active else None,
            "eta": 1.0 if fraction else None,
            "live_preview": None,
            "id_live_preview": -1,
            "textinfo": texts.get(told, "Waiting..."),
        }

    async def _extras(self, body: Any, owner: str) -> Reply:
        html, image = await self._upscaled(_table(body), body.get("image"), owner)
        return 200, {"html_info": html, "image": image}

    async def _extras_batch(self, body: Any, owner: str) -> Reply:
        made = [await self._upscaled(body, each["data"], owner) for each in body["imageList"]]
        return 200, {"html_info": made[0][0], "images": [image for _, image in made]}

    async def _upscaled(self, body: Mapping[str, Any], encoded: Any, owner: str) -> tuple[str, str]:
        if not body.get("upscaling_resize", 2) > 0:
            says = "ensure this value is greater than 0"
            kind = "value_error.number.not_gt"
            raise invalid("upscaling_resize", says, kind, ctx={"limit_value": 0})
        image = opened(encoded)
        upscaler = body.get("upscaler_1", "None")
        async with self._queue:
            self.state.begin("extras")
            self.running = Job(owner, "extras", body, time.monotonic())
            self.jobs.append(self.running)
            self.state.job, self.state.job_count = "Upscale", 1
            self.state.sampling_steps = 1
            if self.hang_at_step is not None:
                self.hang_at_step = None
                await self.interrupted()
            await asyncio.sleep(self.step_seconds)
            self.state.job_no = 1
            self.running.ended = time.monotonic()
            self.running = None
            if self.profile.sdnext:
                self.state.end()
                raise sdnext.extras_fault()
            if upscaler not in UPSCALERS:  # and nothing tidies up
                raise Refusal(500, "AssertionError", f"could not find upscaler named {upscaler}")
            self.state.end()
        size, text = _upscaled_size(body, image.size)
        chunks = {"parameters": parameters(image)} if parameters(image) else {}
        made = png(*size, seed=1, text={**chunks, "postprocessing": text})
        if upscaler in self.without_weights:
            made = enlarged(image, size)
        return f"<p>{text}</p>", base64.b64encode(made).decode()


_NULL = "null"
"""An answer of JSON's null, where None is an empty body."""


def _upscaled_size(body: Mapping[str, Any], size: tuple[int, int]) -> tuple[tuple[int, int], str]:
    upscaler = body.get("upscaler_1", "None")
    if upscaler == "None":
        return size, ""
    said = []
    if body.get("resize_mode") == 1:
        wanted = body["upscaling_resize_w"], body["upscaling_resize_h"]
        said.append(f"Postprocess upscale to: {wanted[0]}x{wanted[1]}")
        if body.get("upscaling_crop", True):
            said.append(f"Postprocess crop to: {wanted[0]}x{wanted[1]}")
            return wanted, ", ".join([*said, f"Postprocess upscaler: {upscaler}"])
        factor = max(wanted[0] / size[0], wanted[1] / size[1])
    else:
        factor = float(body["upscaling_resize"]) if "upscaling_resize" in body else 2
        said.append(f"Postprocess upscale by: {factor}")
    said.append(f"Postprocess upscaler: {upscaler}")
    if body.get("gfpgan_visibility"):
        said.append(f"GFPGAN visibility: {body['gfpgan_visibility']}")
    width, height = (int(side * factor) // 8 * 8 for side in size)
    return (width, height), ", ".join(said)


def _always(answer: object) -> Callable[[Any, str], Awaitable[Reply]]:
    async def door(_: Any, __: str) -> Reply:
        return 200, answer

    return door


async def _no_query(_: Any, __: str) -> Reply:
    raise invalid("sd_model_checkpoint", "Field required", "missing")


async def _png_info(body: Any, _: str) -> Reply:
    image = opened(body.get("image"))
    return 200, {"info": parameters(image), "items": {}, "parameters": {}}


async def _interrogate(body: Any, _: str) -> Reply:
    if body.get("model") not in ("clip", "deepdanbooru", "deepbooru"):
        raise http(404, "Model not found")
    return 200, {"caption": "<error>"}


def _samplers() -> list[dict[str, object]]:
    karras = {"scheduler": "karras"}
    return [
        {"name": name, "aliases": list(aliases), "options": karras if "DPM" in name else {}}
        for name, aliases in SAMPLERS.items()
    ]


def _schedulers(profile: Profile) -> list[dict[str, object]]:
    if profile.sdnext:
        return [{"name": label, "cls": "X", "options": {}} for label in SCHEDULERS]
    return [
        {
            "name": name,
            "label": label,
            "aliases": ["SGMUniform"] if name == "sgm_uniform" else None,
            "default_rho": -1.0,
            "need_inner_model": False,
        }
        for label, name in SCHEDULERS.items()
    ]


def _upscalers(without_weights: frozenset[str]) -> list[dict[str, object]]:
    def path(name: str) -> str | None:
        if name in without_weights:
            return f"https://github.com/somebody/{name}.pth"
        return None if name in ("None", "Lanczos", "Nearest") else f"/srv/models/{name}.pth"

    return [
        {"name": name, "model_name": None, "model_path": path(name), "model_url": None, "scale": 4}
        for name in UPSCALERS
    ]


def _table(body: Any) -> Mapping[str, Any]:
    if body is None:
        raise invalid("", "field required", "value_error.missing")
    if not isinstance(body, Mapping):
        raise invalid("", "value is not a valid dict", "type_error.dict")
    return body


def _decoded(raw: bytes, headers: Mapping[str, str]) -> Any:
    if not raw:
        return None
    if "json" not in headers.get("content-type", "json"):
        raise invalid("", "value is not a valid dict", "type_error.dict")
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError:
        raise Refusal(400, "", "There was an error parsing the body") from None
    except json.JSONDecodeError as error:
        context = {"msg": error.msg, "doc": error.doc, "pos": error.pos}
        context |= {"lineno": error.lineno, "colno": error.colno}
        complaint = {
            "loc": ["body", error.pos],
            "msg": str(error),
            "type": "value_error.jsondecode",
        }
        raise Refusal(422, "", [{**complaint, "ctx": context}]) from None


def _check_auth(header: str, expected: str) -> None:
    if not header.startswith("Basic "):
        raise http(401, "Not authenticated")
    try:
        given = base64.b64decode(header.removeprefix("Basic "), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise http(401, "Invalid authentication credentials") from None
    if given != expected:
        raise http(401, "Incorrect username or password")


@contextmanager
def serve(
    profile: Profile = A1111, *, certificate: Path | None = None, port: int = 0, **how: Any
) -> Iterator[WebUI]:
    """Run a server in a thread for as long as this is entered; with a certificate, over TLS."""
    webui = WebUI(profile=profile, **how)
    config = uvicorn.Config(
        webui,
        port=port,
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=0,
        ssl_certfile=certificate,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name=f"webui {profile.name}")
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        webui.url = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
        yield webui
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


def main(port: str, profile: str = "a1111", step_seconds: str = "0.01") -> None:
    """Run a server in this process."""
    chosen = next(each for each in ALL if each.name == profile)
    webui = WebUI(profile=chosen, step_seconds=float(step_seconds))
    uvicorn.run(webui, port=int(port), log_level="critical", lifespan="off")


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
