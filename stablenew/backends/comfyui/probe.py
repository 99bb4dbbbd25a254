"""Finding out what a server has, without changing anything."""

from __future__ import annotations

import re

import anyio
import anyio.to_thread
import attrs

from stablenew.backends.answers import Answer, read_json, refusal
from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui.capabilities import describe
from stablenew.backends.comfyui.job import JOBS
from stablenew.backends.comfyui.object_info import read_object_info
from stablenew.backends.comfyui.server import Server, embedding_words
from stablenew.backends.server_client import ServerClient
from stablenew.errors import (
    BackendError,
    BackendProtocolError,
    BackendUnavailableError,
    ConfigError,
    ungrouped,
)

STATS = "/system_stats"

_WHICH = re.compile(r"^\w+:\d+ | : \w+$")
"""Which of its GPUs a server uses, and how it takes memory: `cuda:0 NVIDIA … : cudaMallocAsync`."""

_READ_TIMEOUT = 60.0
"""Seconds that a list of all nodes may take: it is many megabytes, read from disk when asked."""


@attrs.frozen(kw_only=True)
class SystemStats:
    """What a server says of itself.

    Attributes:
        version: "" where it does not tell.
        gpu: What it draws on; "" where it does not tell.
    """

    version: str
    gpu: str


async def probe(client: ServerClient) -> tuple[Server, Capabilities]:
    """Find out what a server is and has.

    Raises:
        BackendUnavailableError: Nobody answers, or no ComfyUI.
        ConfigError: It wants credentials, or others.
    """
    stats = await system_stats(client)
    if stats is None:
        through = f" ({client.asked})" if client.asked else ""
        raise BackendUnavailableError(f"{client.url} answers, but is no ComfyUI{through}")
    answers: dict[str, Answer] = {}

    async def ask(path: str) -> None:
        answers[path] = await client.ask("GET", path, timeout=_READ_TIMEOUT)

    with ungrouped():
        async with anyio.create_task_group() as asking:
            for path in ("/object_info", "/embeddings", f"{JOBS}?limit=1"):
                asking.start_soon(ask, path)
    return await anyio.to_thread.run_sync(_read, stats, answers)


async def system_stats(client: ServerClient) -> SystemStats | None:
    """Return what a ComfyUI says of itself, None where something else answers.

    Raises:
        BackendUnavailableError: Nobody answers.
        ConfigError: It wants credentials, or others.
    """
    answer = await client.ask("GET", STATS)
    if answer.status in (401, 403):
        raise ConfigError(
            f"auth: {client.url} refused ({answer.status}), expected its user:password"
        )
    if answer.status in (502, 503, 504):
        raise refusal(answer, f"GET {STATS}")
    try:
        told = read_json(answer)
    except BackendProtocolError:
        return None
    if not isinstance(told, dict) or "devices" not in told:
        return None
    system = told.get("system")
    if not isinstance(system, dict):
        return None
    devices = told["devices"] if isinstance(told["devices"], list) else []
    first = devices[0] if devices and isinstance(devices[0], dict) else {}
    gpu = _WHICH.sub("", str(first.get("name") or ""))
    return SystemStats(version=str(system.get("comfyui_version") or ""), gpu=gpu)


def _read(stats: SystemStats, answers: dict[str, Answer]) -> tuple[Server, Capabilities]:
    listing = answers["/object_info"]
    if listing.status >= 400:
        raise refusal(listing, "GET /object_info")
    server = Server(
        version=stats.version,
        gpu=stats.gpu,
        info=read_object_info(listing.body),
        jobs=answers[f"{JOBS}?limit=1"].status == 200,
        embeddings=embedding_words(_optional(answers["/embeddings"])),
    )
    return server, describe(server)


def _optional(answer: Answer) -> object:
    try:
        return read_json(answer) if answer.status == 200 else None
    except BackendError:
        return None
