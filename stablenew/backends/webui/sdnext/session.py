"""What an SD.Next needs around the pictures that are made on it: its limit, and a model.

The model that a plan asks for stays loaded from one picture to the next: with an override that is
taken back after each, SD.Next loads two models for every picture. Its own is put back when nothing
of ours came for a while, and when we leave.

An option is only ever set to a model that the server lists: any other name would unload what it
has, for everybody.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import anyio
import attrs
import msgspec
from anyio.abc import TaskGroup

from stablenew.backends.answers import Answer, refusal
from stablenew.backends.base import ReportProgress
from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.answers import read_pictures
from stablenew.backends.webui.calls import API, Call
from stablenew.backends.webui.idle_options import OPTIONS
from stablenew.backends.webui.job import Job
from stablenew.backends.webui.sdnext.limit import LIMITED, SIGN_OF_LIFE, Limit
from stablenew.backends.webui.sdnext.outer_job import look_inside
from stablenew.backends.webui.server import CHECKPOINT, Flavour, Server
from stablenew.errors import BackendError, BackendUnavailableError

logger = logging.getLogger(__name__)

PUT_BACK_AFTER = 60.0
"""Seconds without a picture of ours after which the server gets its own model back."""

_PUT_BACK_WITHIN = 5.0
"""Seconds to wait for that when we leave; the server goes on with it by itself."""

_CHECKPOINT = f"{API}/checkpoint"
_LOOK = 1.0


class Session:
    """One SD.Next, for as long as pictures are made on it.

    Args:
        client: Talks to it.
        load_timeout: Seconds that loading a model may take.
    """

    def __init__(self, client: ServerClient, load_timeout: float) -> None:
        self._client = client
        self._server = Server(flavour=Flavour.SDNEXT)
        self._load_timeout = load_timeout
        self._limit = Limit(client.url)
        self._changed: dict[str, object] = {}
        self._used_at = anyio.current_time()
        self._waiting = False

    def found(self, server: Server) -> Server:
        """Take note of the server as it was found again; return it with what is really its own."""
        self._note_choices(server.options)
        own = {**server.options, **{name: self._own(name) for name in self._changed}}
        self._server = attrs.evolve(server, options=own)
        self._limit.found(own)
        return self._server

    async def answered(
        self,
        call: Call,
        report: ReportProgress,
        ask: Callable[[], Awaitable[tuple[Job, Answer]]],
    ) -> tuple[Job, Answer]:
        """Return the answer to a call, sent when it may be and again when it was for nothing.

        Args:
            call: What is sent.
            report: Told that there is still somebody waiting.
            ask: Sends it.

        Raises:
            BackendUnavailableError: What is in its way does not pass.
        """
        times = 0
        while True:
            await self._turn(call, report)
            job, answer = await ask()
            times += 1
            self._used_at = anyio.current_time()
            if answer.status == LIMITED:
                await self._limit.refused(times, report)
            elif answer.status >= 400 or not _is_nothing(answer) or await self._has_model():
                return job, answer
            else:
                await self._model_there(call, report)

    def put_back_later(self, tasks: TaskGroup, turn: anyio.Lock) -> None:
        """Give the server its own model back once nothing of ours came for a while.

        Args:
            tasks: Does so.
            turn: Held by whoever makes a picture.
        """
        if self._changed and not self._waiting:
            self._waiting = True
            tasks.start_soon(self._wait_and_put_back, turn)

    async def _wait_and_put_back(self, turn: anyio.Lock) -> None:
        while self._changed:
            seconds = self._used_at + PUT_BACK_AFTER - anyio.current_time()
            await anyio.sleep(max(seconds, 0.0))
            async with turn:
                if anyio.current_time() >= self._used_at + PUT_BACK_AFTER:
                    await self.put_back()
        self._waiting = False

    async def _turn(self, call: Call, report: ReportProgress) -> None:
        """Wait until a call may be sent, and note what it changes."""
        if call.kind != "extras":
            await self._limit.turn(report)
        for name, value in call.overrides.items():
            if value == self._own(name):
                self._changed.pop(name, None)
            else:
                self._changed[name] = value

    async def put_back(self) -> None:
        """Give the server back what is its own, but for what somebody else has chosen since."""
        with anyio.move_on_after(_PUT_BACK_WITHIN, shield=True):
            try:
                if self._changed and await self._idle():  # else it shows what others override
                    shown = await self._client.get(OPTIONS)
                    self._note_choices(shown if isinstance(shown, Mapping) else {})
                own = {name: self._own(name) for name in self._changed}
                if self._server.model_name(own.get(CHECKPOINT)) is None:
                    own.pop(CHECKPOINT, None)
                own = {name: value for name, value in own.items() if value is not None}
                if own:
                    await self._client.send(OPTIONS, msgspec.json.encode(own))
            except BackendError as error:
                url, told = self._client.url, ", ".join(map(str, self._changed))
                logger.warning("%s may not have its own %s back: %s", url, told, error)
        self._changed.clear()

    def _own(self, name: str) -> object:
        return self._server.options.get(name)

    def _note_choices(self, shown: Mapping[str, object]) -> None:
        """Forget what we changed where the server shows another value by now."""
        for name, left in list(self._changed.items()):
            there = shown.get(name)
            same = self._server.model_name(there) == self._server.model_name(left) is not None
            if there != left and not same:
                del self._changed[name]

    async def _has_model(self) -> bool:
        loaded = await self._client.get(_CHECKPOINT)
        return not isinstance(loaded, Mapping) or bool(loaded.get("type"))

    async def _model_there(self, call: Call, report: ReportProgress) -> None:
        """Wait until a model is loaded; load the one that is asked for if nobody loads any."""
        url, named = self._client.url, call.settings.get("model")
        model = self._server.model_name(named) if named is not None else None
        hint = "" if model else "; name one (txt2img.model), or load one there"
        logger.warning("%s has no model loaded: waiting for one%s", url, hint)
        with anyio.move_on_after(self._load_timeout):
            while not await self._has_model():
                await report(0.0)
                if model and await self._idle():
                    await _telling(lambda: self._load(self._server.model_title(model)), report)
                await anyio.sleep(_LOOK)
            return
        raise BackendUnavailableError(f"{url} has no model loaded{hint}", retryable=True)

    async def _idle(self) -> bool:
        inner = await look_inside(self._client)
        return inner is None or not inner.busy

    async def _load(self, title: str) -> None:
        content = msgspec.json.encode({CHECKPOINT: title})
        answer = await self._client.generate(OPTIONS, content, lambda: None)
        if answer.status >= 400:
            raise refusal(answer, f"POST {OPTIONS}")


def _is_nothing(answer: Answer) -> bool:
    """Return whether there is neither a picture in an answer nor a word of one."""
    try:
        pictures = read_pictures(answer)
    except BackendError:
        return False
    return pictures.images == [] and not pictures.info


async def _telling(doing: Callable[[], Awaitable[None]], report: ReportProgress) -> None:
    """Do something that takes long, telling that it goes on."""

    async def tell() -> None:
        while True:
            await report(0.0)
            await anyio.sleep(SIGN_OF_LIFE)

    async with anyio.create_task_group() as telling:
        telling.start_soon(tell)
        await doing()
        telling.cancel_scope.cancel()
