"""A ComfyUI without a model, on a real socket: what servers do, at a speed of choice.

with serve(V0_33) as comfyui: …    # in a thread; `comfyui` shows and steers what it does
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

import attrs
import uvicorn

from tests.comfyui.execution import Disk, Interrupted, NodeError, Run, Value, in_order, signature
from tests.comfyui.nodes import object_info
from tests.comfyui.sockets import Sockets
from tests.comfyui.validation import TROUBLE, general, missing_class, node_errors, refused

Reply = tuple[int, object]
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@attrs.frozen(kw_only=True)
class Profile:
    """What a version has.

    Attributes:
        jobs: Whether it has `/api/jobs` and what is below.
        ids: `uuid` where a prompt's id must be one, `any` where it may be anything, `own` where
            the server names prompts itself.
        interrupts_by_id: Whether an interrupt looks at the id in it.
    """

    version: str
    jobs: bool = True
    ids: str = "uuid"
    interrupts_by_id: bool = True


V0_33 = Profile(version="0.33.0")
V0_3_64 = Profile(version="0.3.64", jobs=False, ids="any")
V0_3_40 = Profile(version="0.3.40", jobs=False, ids="own", interrupts_by_id=False)
VERSIONS = (V0_33, V0_3_64, V0_3_40)


@attrs.define(eq=False)
class Entry:
    """A prompt in the queue."""

    number: int
    id: str
    prompt: dict[str, Any]
    extra: dict[str, Any]
    outputs: list[str]
    began: float = 0.0
    ended: float = 0.0
    interrupts: int = 0
    messages: list[list[Any]] = attrs.field(factory=list)

    @property
    def listed(self) -> list[Any]:
        return [self.number, self.id, self.prompt, self.extra, self.outputs]


@attrs.define(eq=False)
class ComfyUI:
    """One server.

    Attributes:
        step_seconds: How long a sampling step takes.
        load_seconds: How long loading a checkpoint takes.
        post_seconds: How long a POST of a prompt waits before the prompt is in the queue.
        ending_seconds: How long a prompt that is done is not yet in the history, but runs.
        hang_at_step: The step at which sampling stops to move, until it is interrupted.
        keeps_alive: Whether a connection stays: a wire knows only the first request on each.
        fail_at: The class of the node that fails, with its words.
        loads: Every checkpoint that was loaded from disk, in order.
        prefix: What a proxy has put before every path.
        waiting_for_prompt: POSTs of prompts that have no answer yet.
        cancelled_before: How often one was cancelled while there was such a POST.
        requests: Everything that was asked: method, path, body.
        entries: Every prompt that was taken, in order.
    """

    profile: Profile = V0_33
    step_seconds: float = 0.0
    load_seconds: float = 0.0
    post_seconds: float = 0.0
    ending_seconds: float = 0.0
    detailer: bool = True
    faces: int = 1
    fail_at: tuple[str, str] | None = None
    embeddings: tuple[str, ...] = ()
    gpu: str = "cpu"
    auth: str | None = None
    prefix: str = ""
    max_upload: int = 100 * 1024 * 1024
    without_pictures: bool = False
    keeps_alive: bool = True
    hang_at_step: int | None = None
    info: dict[str, Any] = attrs.field(factory=dict)
    loads: list[str] = attrs.field(factory=list)
    requests: list[tuple[str, str, Any]] = attrs.field(factory=list)
    waiting_for_prompt: int = 0
    cancelled_before: int = 0
    headers: list[Mapping[str, str]] = attrs.field(factory=list)
    entries: list[Entry] = attrs.field(factory=list)
    pending: list[Entry] = attrs.field(factory=list)
    running: Entry | None = None
    history: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    disk: Disk = attrs.field(factory=Disk)
    cache: dict[str, Value] = attrs.field(factory=dict)
    sockets: Sockets = attrs.field(factory=Sockets)
    url: str = ""
    _number: int = 0
    _worker: asyncio.Task[None] | None = None
    _more: asyncio.Event = attrs.field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.info = self.info or object_info(detailer=self.detailer)

    def paths(self, ending: str) -> list[Any]:
        """Return the bodies of the requests to a path."""
        return [body for _, path, body in self.requests if path.endswith(ending)]

    def forget(self) -> None:
        """Be as after a restart: no queue, no history, no files in temp."""
        if self._worker is not None:
            self._worker.get_loop().call_soon_threadsafe(self._worker.cancel)
            while not self._worker.done():
                time.sleep(0.002)
        self._worker, self.running = None, None
        self.pending.clear()
        self.history.clear()
        self.cache.clear()
        self._number = 0
        self.disk.files = {key: each for key, each in self.disk.files.items() if key[0] != "temp"}

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if not scope["path"].startswith(self.prefix):
            scope["path"] = "/nothing"
        scope["path"] = scope["path"].removeprefix(self.prefix)
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            sent = dict(scope["headers"]).get(b"authorization", b"").decode()
            if self.auth and sent != self.auth:
                await send({"type": "websocket.close"})
                return
            sid = parse_qs(scope["query_string"].decode()).get("clientId", [None])[0]
            await self.sockets.serve(sid, self._waiting(), receive, send)
            return
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        query = {key: each[0] for key, each in parse_qs(scope["query_string"].decode()).items()}
        status, payload = await self._answer(scope["method"], scope["path"], query, headers, raw)
        kind = "application/json; charset=utf-8"
        if isinstance(payload, bytes):
            body, kind = payload, "image/png"
        elif isinstance(payload, str):
            body, kind = payload.encode(), "text/plain; charset=utf-8"
        else:
            body = b"" if payload is None else json.dumps(payload).encode()
            kind = "application/octet-stream" if payload is None else kind
        length = (b"content-length", str(len(body)).encode())
        start = {"type": "http.response.start", "status": status}
        closing = [] if self.keeps_alive else [(b"connection", b"close")]
        await send({**start, "headers": [(b"content-type", kind.encode()), length, *closing]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        raw: bytes,
    ) -> Reply:
        form = "multipart" in headers.get("content-type", "")
        with suppress(ValueError):
            self.requests.append((method, path, None if form or not raw else json.loads(raw)))
        self.headers.append(headers)
        if self.auth and headers.get("authorization") != self.auth:
            return 401, "<html>Log in</html>"
        bare = path.removeprefix("/api") if not path.startswith("/api/jobs") else path
        if len(raw) > self.max_upload:
            return 413, "Request Entity Too Large"
        try:
            if method == "GET":
                return self._get(bare, query)
            return await self._post(bare, headers, raw)
        except (ValueError, AttributeError, TypeError):
            return 500, TROUBLE

    def _get(self, path: str, query: Mapping[str, str]) -> Reply:
        if path == "/system_stats":
            system = {"os": "posix", "comfyui_version": self.profile.version, "argv": ["main.py"]}
            return 200, {"system": system, "devices": [{"name": self.gpu}]}
        if path == "/object_info":
            return 200, self.info
        if path == "/embeddings":
            return 200, list(self.embeddings)
        if path == "/prompt":
            return 200, {"exec_info": {"queue_remaining": self._waiting()}}
        if path == "/queue":
            running = [self.running.listed] if self.running else []
            return 200, {
                "queue_running": running,
                "queue_pending": [e.listed for e in self.pending],
            }
        if path.startswith("/history/"):
            entry = self.history.get(path.removeprefix("/history/"))
            return 200, {path.removeprefix("/history/"): entry} if entry else {}
        if path == "/view":
            data = self.disk.files.get((query.get("type", "output"), query["filename"]))
            return (200, data) if data is not None else (404, None)
        if path.startswith("/api/jobs") and self.profile.jobs:
            return self._job(path.removeprefix("/api/jobs").strip("/"))
        return 404, None

    def _waiting(self) -> int:
        return len(self.pending) + (self.running is not None)

    def _status(self) -> None:
        queue = {"exec_info": {"queue_remaining": self._waiting()}}
        self.sockets.tell(None, "status", {"status": queue})

    def _job(self, job_id: str) -> Reply:
        if not job_id:
            page = {"offset": 0, "limit": 1, "total": 0, "has_more": False}
            return 200, {"jobs": [], "pagination": page}
        waiting = next((each for each in self.pending if each.id == job_id), None)
        if waiting or (self.running and self.running.id == job_id):
            status = "pending" if waiting else "in_progress"
            return 200, {"id": job_id, "status": status, "priority": 0, "outputs_count": 0}
        if job_id not in self.history:
            return 404, {"error": "Job not found"}
        entry = self.history[job_id]
        names = [name for name, _ in entry["status"]["messages"]]
        failed = "cancelled" if "execution_interrupted" in names else "failed"
        status = "completed" if entry["status"]["completed"] else failed
        told = {"outputs": entry["outputs"], "execution_status": entry["status"]}
        return 200, {"id": job_id, "status": status, **told, "workflow": {"prompt": {}}}

    async def _post(self, path: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        if path == "/upload/image":
            return self._upload(headers, raw)
        if path.startswith("/api/jobs"):
            if not self.profile.jobs:
                return 405, "405: Method Not Allowed"
            return 200, {"cancelled": self._stop(path.split("/")[3])}
        body = json.loads(raw) if raw or path != "/interrupt" else {}
        if path == "/prompt":
            self.waiting_for_prompt += 1
            await asyncio.sleep(self.post_seconds)
            self.waiting_for_prompt -= 1
            return self._prompt(body)
        self.cancelled_before += bool(self.waiting_for_prompt)
        if path == "/queue":
            for each in body.get("delete", []):
                self.pending[:] = [entry for entry in self.pending if entry.id != each]
            return 200, None
        if path == "/interrupt":
            named = body.get("prompt_id") if self.profile.interrupts_by_id else None
            if self.running and (named is None or self.running.id == named):
                self.running.interrupts += 1
            return 200, None
        return 405, "405: Method Not Allowed"

    def _stop(self, job_id: str) -> bool:
        if self.running and self.running.id == job_id:
            self.running.interrupts += 1
            return True
        left = [entry for entry in self.pending if entry.id != job_id]
        found = len(left) < len(self.pending)
        self.pending[:] = left
        return found

    def _upload(self, headers: Mapping[str, str], raw: bytes) -> Reply:
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        fields: dict[str, bytes] = {}
        name = ""
        for part in raw.split(b"--" + boundary)[1:-1]:
            head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
            key = re.search(rb' name="([^"]*)"', head)
            file = re.search(rb'filename="([^"]*)"', head)
            name = file[1].decode() if file else name
            fields[key[1].decode() if key else ""] = content
        folder = fields.get("subfolder", b"").decode()
        if ".." in folder:
            return 400, None
        full = f"{folder}/{name}" if folder else name
        self.disk.files["input", full] = fields["image"]
        return 200, {"name": name, "subfolder": folder, "type": "input"}

    def _prompt(self, body: Any) -> Reply:
        if not isinstance(body, dict) or "prompt" not in body:
            return refused(general("no_prompt", "No prompt provided", "No prompt provided"))
        prompt = body["prompt"]
        job_id = body.get("prompt_id") or str(uuid.uuid4())
        if self.profile.ids == "own":
            job_id = str(uuid.uuid4())
        if self.profile.ids == "uuid" and not _UUID.fullmatch(str(job_id)):
            return refused(general("invalid_prompt_id", "prompt_id must be a valid UUID"))
        if (missing := missing_class(prompt, self.info)) is not None:
            return missing
        outputs = [each for each in prompt if self.info[prompt[each]["class_type"]]["output_node"]]
        if not outputs:
            return refused(general("prompt_no_outputs", "Prompt has no outputs"))
        wrong = {
            each: node_errors(
                prompt, each, self.info, lambda name: self.disk.input(name) is not None
            )
            for each in outputs
        }
        good = [each for each in outputs if not wrong[each]]
        found = {node: error for errors in wrong.values() for node, error in errors.items()}
        if not good:
            says = "Prompt outputs failed validation"
            return refused(general("prompt_outputs_failed_validation", says), found)
        extra = {"client_id": body.get("client_id"), **body.get("extra_data", {})}
        entry = Entry(self._number, job_id, prompt, extra, good)
        self._number += 1
        self.entries.append(entry)
        self.pending.append(entry)
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._work())
        self._more.set()
        self._status()
        return 200, {"prompt_id": job_id, "number": entry.number, "node_errors": found}

    async def _work(self) -> None:
        while True:
            self._more.clear()
            while self.pending:
                self.running = self.pending.pop(0)
                self.running.began = time.perf_counter()
                done = self.running
                await self._execute(done)
                self.running = None
                done.ended = time.perf_counter()
                self._status()
                self._tell(done, "executing", keep=False, node=None)
            await self._more.wait()

    async def _execute(self, entry: Entry) -> None:
        outputs: dict[str, Any] = {}
        outcome = "execution_success"
        self._tell(entry, "execution_start")
        try:
            for node_id, value in (await self._run_nodes(entry)).items():
                if value.files and not self.without_pictures:
                    outputs[node_id] = {"images": [dict(each) for each in value.files]}
        except Interrupted:
            outcome = "execution_interrupted"
            self._tell(entry, outcome, node_id="sampler", node_type="KSampler", executed=[])
        except NodeError as error:
            outcome = "execution_error"
            node_id, kind, says = error.args
            told = {"node_id": node_id, "node_type": kind, "exception_message": says}
            self._tell(entry, outcome, exception_type="torch.OutOfMemoryError", **told)
        else:
            self._tell(entry, outcome)
            await asyncio.sleep(self.ending_seconds)
        done = outcome == "execution_success"
        status = {"status_str": "success" if done else "error", "completed": done}
        self.history[entry.id] = {
            "prompt": entry.listed,
            "outputs": outputs if done else {},
            "status": {**status, "messages": entry.messages},
            "meta": {},
        }

    async def _run_nodes(self, entry: Entry) -> dict[str, Value]:
        marks = {node_id: signature(entry.prompt, node_id) for node_id in entry.prompt}
        ordered = in_order(entry.prompt, entry.outputs)
        cached = [node_id for node_id in ordered if marks[node_id] in self.cache]
        self._tell(entry, "execution_cached", nodes=cached)
        current = ""

        async def step(value: int, steps: int) -> None:
            await asyncio.sleep(self.step_seconds)
            while value == self.hang_at_step and not entry.interrupts:
                await asyncio.sleep(0.01)
            if "preview_method" in entry.extra:
                told = {"node_id": current, "prompt_id": entry.id}
                self.sockets.show(entry.extra["client_id"], b"\xff\xd8preview", told)
            data = {"value": value, "max": steps, "node": current, "prompt_id": entry.id}
            self.sockets.tell(entry.extra["client_id"], "progress", data)
            _check(entry)

        async def load(name: str) -> None:
            self.loads.append(name)
            await asyncio.sleep(self.load_seconds)

        run = Run(disk=self.disk, prompt=entry.prompt, step=step, load=load, faces=self.faces)
        values: dict[str, Value] = {}
        for current in ordered:
            await asyncio.sleep(0)
            _check(entry)
            node = entry.prompt[current]
            kind = node["class_type"]
            if self.fail_at and self.fail_at[0] == kind:
                raise NodeError(current, kind, self.fail_at[1])
            if marks[current] not in self.cache:
                self._tell(entry, "executing", keep=False, node=current)
                inputs = {
                    name: values[value[0]] if isinstance(value, list) else value
                    for name, value in node["inputs"].items()
                }
                self.cache[marks[current]] = await run.node(kind, inputs, marks[current])
            values[current] = self.cache[marks[current]]
            if values[current].files:
                images = {"images": [dict(each) for each in values[current].files]}
                self._tell(entry, "executed", keep=False, node=current, output=images)
        # Only what the last prompt had is kept, whatever of it was linked to an output.
        kept = set(marks.values())
        self.cache = {mark: value for mark, value in self.cache.items() if mark in kept}
        return {node_id: values[node_id] for node_id in entry.outputs}

    def _tell(self, entry: Entry, kind: str, *, keep: bool = True, **data: Any) -> None:
        told = {**data, "prompt_id": entry.id}
        if keep:
            told["timestamp"] = int(time.time() * 1e3)
            entry.messages.append([kind, told])
        if entry.extra["client_id"] is not None or kind == "execution_interrupted":
            self.sockets.tell(entry.extra["client_id"], kind, told)


def _check(entry: Entry) -> None:
    if entry.interrupts:
        raise Interrupted


@contextmanager
def serve(profile: Profile = V0_33, **how: Any) -> Iterator[ComfyUI]:
    """Run a server in a thread for as long as this is entered."""
    comfyui = ComfyUI(profile=profile, **how)
    with listening(comfyui):
        yield comfyui


@contextmanager
def listening(comfyui: ComfyUI, port: int = 0) -> Iterator[None]:
    """Have a server listen for as long as this is entered."""
    config = uvicorn.Config(
        comfyui, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name=f"comfyui {comfyui.profile.version}")
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        comfyui.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
