"""Keeping a server's own options its own: what a request overrides must not stay for everybody.

AUTOMATIC1111 and Forge restore only options that are in their settings file (`if k in opts.data`);
any other one that a request overrides stays as it was overridden. So the server's own values are
written there once, while it is idle: what is written is then no other request's value.

Forge takes a list of modules that it has already for no change, and writes nothing: it is given
another list and then its own again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import anyio
import msgspec

from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.idle_options import OPTIONS
from stablenew.backends.webui.loaded import modules_for, own_modules
from stablenew.backends.webui.request_fields import RANDN_SOURCE
from stablenew.backends.webui.server import CLIP_SKIP, MODULES, VAE, Flavour, Server
from stablenew.config.extra_settings import extra_of, parts_of
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendError

logger = logging.getLogger(__name__)

_WRITTEN_WITHIN = 5.0
"""Seconds that both lists of modules may take: the second must not be cut off from the first."""


class OwnOptions:
    """The options of one server, kept as they were found.

    Args:
        client: Talks to it.
        server: As it was found.
    """

    def __init__(self, client: ServerClient, server: Server) -> None:
        self._client = client
        self._server = server
        self._written: set[str] = set()
        self._modules_written = server.flavour is not Flavour.FORGE
        self._modules_sent: list[str] | None = None

    def due(self, settings: Mapping[str, Setting]) -> bool:
        """Return whether something has to be written before a request with these settings."""
        return bool(self._unwritten(settings)) or self._asks_for_modules(settings)

    def sent(self, settings: Mapping[str, Setting]) -> None:
        """Note a request that is sent though it may change what is not written."""
        if self._asks_for_modules(settings):
            self._modules_sent = modules_for(self._server, settings["vae"])

    async def write(self, settings: Mapping[str, Setting]) -> None:
        """Write what is due; while the server is idle.

        Args:
            settings: Of the request that comes next.
        """
        try:
            if (due := self._unwritten(settings)) and await self._write_values(due):
                self._written |= due
            if self._asks_for_modules(settings):
                await self._write_modules(modules_for(self._server, settings["vae"]))
                self._modules_written = True
        except BackendError as error:
            url = self._client.url
            logger.warning("%s may keep what requests override: %s", url, error)

    def _asks_for_modules(self, settings: Mapping[str, Setting]) -> bool:
        if self._modules_written or "vae" not in settings:
            return False
        asked = modules_for(self._server, settings["vae"])
        return self._server.overridable(MODULES) and asked != own_modules(self._server)

    def _unwritten(self, settings: Mapping[str, Setting]) -> set[str]:
        """Return the options that are not written yet, of those that requests override."""
        paths = map(parts_of, extra_of(settings))
        asked = {str(path[1]) for path in paths if path[0] == "override_settings" and path[1:]}
        asked |= {CLIP_SKIP, VAE, *({RANDN_SOURCE} & settings.keys())}
        return {name for name in asked if self._server.overridable(name)} - self._written

    async def _write_values(self, names: Iterable[str]) -> bool:
        """Write the server's own values; return False if it shows others by now: whose are they?"""
        options = self._server.options
        own = {name: options[name] for name in names}
        if own:
            told = await self._told()
            if any(told.get(name) != value for name, value in own.items()):
                return False
            await self._post(own)
        return True

    async def _write_modules(self, asked: list[str]) -> None:
        own = own_modules(self._server)
        told = (await self._told()).get(MODULES)
        with anyio.move_on_after(_WRITTEN_WITHIN, shield=True):
            if told == own:
                await self._post({MODULES: asked})
            elif told != self._modules_sent:  # somebody has chosen others since
                return
            await self._post({MODULES: own})

    async def _told(self) -> Mapping[str, object]:
        options = await self._client.get(OPTIONS)
        return options if isinstance(options, Mapping) else {}

    async def _post(self, options: Mapping[str, object]) -> None:
        await self._client.send(OPTIONS, msgspec.json.encode(options))
