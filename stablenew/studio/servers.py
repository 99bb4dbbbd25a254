"""What can make pictures: the embedded model, and the servers that the person named or found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import anyio
import attrs

from stablenew.app import App, open_pool
from stablenew.backends.base import Backend, Capabilities
from stablenew.backends.several import any_of, check_kinds, differences
from stablenew.config.server_url import split_url
from stablenew.config.settings import Settings
from stablenew.errors import BackendError, BackendUnavailableError, ConfigError, StableNewError
from stablenew.pipeline.backend_border import asked_capabilities
from stablenew.studio.answers import NotThereError
from stablenew.studio.feed import Say

USUAL = (7860, 7861, 7862, 1234, 8188)
"""Ports of this machine where AUTOMATIC1111, Forge, SD.Next, sd-server and ComfyUI listen."""

EMBEDDED = "embedded"
_SEARCH_WITHIN = 3.0


@attrs.define(eq=False, kw_only=True)
class Server:
    """One of them.

    Attributes:
        id: Its URL; the backend's name for what has none.
        backend: How it is driven.
        title: What it calls itself, once it answered.
        auth: `user:password`; never told.
        state: `unknown`, `ready` or `away`.
        problem: Why it is away.
        capabilities: What it said last.
    """

    id: str
    backend: str
    url: str | None = None
    title: str = ""
    auth: str | None = attrs.field(default=None, repr=False)
    state: str = "unknown"
    problem: str | None = None
    capabilities: Capabilities | None = attrs.field(default=None, repr=False)

    @property
    def plain(self) -> dict[str, object]:
        """What the page is told of it."""
        kind = self.backend if self.capabilities is None else self.capabilities.backend
        names = ("id", "url", "state", "problem")
        told = {name: getattr(self, name) for name in names}
        return {**told, "backend": kind, "title": self.title or self.id}


class Servers:
    """Those that may be talked to, and no others.

    Args:
        out: The folder of all runs.
        say: Tells every tab.
        host: The app of the program around, whose own backend is one of them.
    """

    def __init__(self, out: Path, say: Say, host: App) -> None:
        self._out = out
        self._say = say
        settings = host.settings
        own = settings.server_url or settings.backend
        self.own: Mapping[str, Backend] = {own: host.backend} if not settings.urls else {}
        self._known = {EMBEDDED: Server(id=EMBEDDED, backend=EMBEDDED, title="embedded model")}
        for url in settings.urls or ([own] if own != EMBEDDED else []):
            named = url if settings.server_url else None
            self._known[url] = Server(
                id=url, backend=settings.backend, url=named, auth=settings.auth
            )

    @property
    def plain(self) -> list[dict[str, object]]:
        """What the page is told."""
        return [each.plain for each in self._known.values()]

    def get(self, id_: str) -> Server:
        """Return one.

        Raises:
            NotThereError: It was not named.
        """
        if id_ not in self._known:
            raise NotThereError(f"server: given {id_[:200]!r}, which was not named; add it first")
        return self._known[id_]

    def named(self, url: str) -> Server | None:
        """Return that of a URL; None where nobody named it."""
        return self._known.get(split_url(url)[0])

    async def add(self, url: str, auth: str | None = None) -> Server:
        """Name a server, and ask it what it has.

        Raises:
            ConfigError: That is no URL.
        """
        address, auth = split_url(url, auth)
        server = Server(id=address, backend="server", url=address, auth=auth)
        self._known[address] = server
        await self._ask(server)
        self._tell()
        return server

    def name_again(self, ids: Iterable[str]) -> None:
        """Name servers that a job of an earlier start runs on, which the person named then."""
        for id_ in ids:
            if id_ not in self._known and "://" in id_:
                self._known[id_] = Server(id=id_, backend="server", url=id_)

    def forget(self, id_: str) -> None:
        """Talk to a server no more."""
        if id_ != EMBEDDED and id_ not in self.own:
            self._known.pop(id_, None)
        self._tell()

    async def search(self) -> None:
        """Look at the usual ports of this machine; what answers is known from then on."""
        urls = [f"http://127.0.0.1:{port}" for port in USUAL]

        async def look(url: str) -> None:
            server = Server(id=url, backend="server", url=url)
            with anyio.move_on_after(_SEARCH_WITHIN):
                await self._ask(server)
            if server.state == "ready":
                self._known.setdefault(url, server)

        async with anyio.create_task_group() as looking:
            for url in urls:
                if url not in self._known:
                    looking.start_soon(look, url)
        self._tell()

    async def capabilities(self, id_: str, *, anew: bool = False) -> Capabilities:
        """Return what one can do, as it said last.

        Raises:
            BackendUnavailableError: It does not answer.
            NotThereError: It was not named.
        """
        server = self.get(id_)
        if anew or server.capabilities is None or server.state != "ready":
            before = server.state
            error = await self._ask(server)
            if before != server.state:
                self._tell()
            if error is not None:
                raise error
        assert server.capabilities is not None
        return server.capabilities

    async def capabilities_of(
        self, ids: Sequence[str], *, mix: bool = False, skip_unreachable: bool = False
    ) -> tuple[Capabilities, list[str]]:
        """Return what at least one of some servers can do, and how they differ, a line each.

        Args:
            ids: Theirs, at least one.
            mix: Whether they may be of several kinds.
            skip_unreachable: Whether those that do not answer are left out.

        Raises:
            BackendUnavailableError: One does not answer.
            ConfigError: They are of several kinds.
            NotThereError: One was not named.
        """
        told: dict[str, Capabilities] = {}
        away: list[BackendUnavailableError] = []
        for id_ in ids:
            try:
                told[id_] = await self.capabilities(id_)
            except BackendUnavailableError as error:
                away.append(error)
        if away and not (told and skip_unreachable):
            raise away[0]
        check_kinds({name: each.backend for name, each in told.items()}, mix=mix)
        notes = [*(f"left out: {each}" for each in away), *differences(told)]
        return any_of([*told.values()]), notes

    async def _ask(self, server: Server) -> StableNewError | None:
        try:
            if (own := self.own.get(server.id)) is not None:
                told = await asked_capabilities(own)
            else:
                told = await self._asked(server)
        except (BackendError, ConfigError) as error:
            server.state, server.problem = "away", str(error)
            return error
        server.state, server.problem = "ready", None
        server.title, server.capabilities = told.title, told
        return None

    async def _asked(self, server: Server) -> Capabilities:
        given = {"url": server.url, "auth": server.auth} if server.url else {}
        settings = Settings.from_dict({"out": str(self._out), "backend": server.backend, **given})
        async with open_pool(settings) as pool:
            return await pool.capabilities()

    def _tell(self) -> None:
        self._say("servers", servers=self.plain)
