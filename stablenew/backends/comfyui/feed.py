"""The socket on which a server tells of our prompts; everything works without it, but for steps.

- A name of its own for each connection: the server gives messages to the newest of a name, and
  forgets the name when either of two ends, so that the other hears nothing ever again.
- The feature flags are the first message, or they are not read; with them, previews say of which
  prompt they are.
- Messages of prompts without a name go to everybody, so that each is looked at for whose it is.
- It is never the end of a prompt: what `/api/jobs` or `/history` says is.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from uuid import uuid4

import anyio
import msgspec

from stablenew.backends.comfyui.hearing import Hearing
from stablenew.backends.server_client import ServerClient
from stablenew.storage.record_reader import NOT_JSON

logger = logging.getLogger(__name__)

_FLAGS = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
_READY_WITHIN = 1.0
"""Seconds that the first prompt waits for the socket; what comes without one is polled."""

_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
"""Seconds before it is opened again, doubled each time that it could not be."""

_PREVIEW_OF = 4
"""What a binary message begins with that holds whose picture it is."""

_HEAD = struct.Struct(">II")


class Feed:
    """The socket of one backend.

    Args:
        client: Opens it.
        find: Returns who wants to hear of a prompt, None where it is not ours.
        ended: Called with the id of a prompt that is over.

    Attributes:
        name: What the server knows the socket by; None while there is none.
    """

    def __init__(
        self,
        client: ServerClient,
        find: Callable[[str], Hearing | None],
        ended: Callable[[str], None],
    ) -> None:
        self.name: str | None = None
        self._client = client
        self._find = find
        self._ended = ended
        self._tried = anyio.Event()

    async def ready(self) -> None:
        """Wait until the socket is open, or was tried to be."""
        with anyio.move_on_after(_READY_WITHIN):
            await self._tried.wait()

    async def run(self) -> None:
        """Keep it open; raises nothing but a cancellation."""
        pause = _PAUSE
        while True:
            name = uuid4().hex
            try:
                async with self._client.websocket(f"/ws?clientId={name}") as socket:
                    await socket.send(_FLAGS)
                    self.name, pause = name, _PAUSE
                    self._tried.set()
                    while True:
                        self._take(await socket.receive())
            except ConnectionError as error:
                logger.debug("%s: the socket: %s", self._client.url, error)
            finally:
                self.name = None
                self._tried.set()
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _take(self, message: str | bytes) -> None:
        """Hand a message to whom it concerns; what cannot be read is let go."""
        try:
            if isinstance(message, str):
                self._hear(msgspec.json.decode(message))
            else:
                self._see(message)
        except (*NOT_JSON, struct.error) as error:
            logger.debug("%s: a message that cannot be read: %s", self._client.url, error)

    def _hear(self, message: object) -> None:
        data = message.get("data") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(data, dict):
            return
        kind, prompt_id = str(message.get("type")), str(data.get("prompt_id"))
        hearing = self._find(prompt_id)
        if hearing is None:
            return
        hearing.hear(kind, data)
        if kind == "executing" and data.get("node") is None:
            self._ended(prompt_id)

    def _see(self, message: bytes) -> None:
        event, length = _HEAD.unpack_from(message)
        if event != _PREVIEW_OF:
            return
        told = msgspec.json.decode(message[_HEAD.size : _HEAD.size + length])
        if isinstance(told, Mapping) and (hearing := self._find(str(told.get("prompt_id")))):
            hearing.see(message[_HEAD.size + length :])
