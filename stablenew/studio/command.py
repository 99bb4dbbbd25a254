"""The command `studio`: an app, its studio, a server for it, and a browser that shows it."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import webbrowser
from collections.abc import Iterator
from functools import partial

import anyio
import anyio.to_thread
import attrs
import uvicorn

from stablenew.app import open_app
from stablenew.cli.arguments import Parser
from stablenew.cli.exit_codes import ExitCode
from stablenew.cli.leaving import Stopping
from stablenew.cli.printing import say
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError, ungrouped
from stablenew.studio.access import Access, is_loopback, kept_token, names_of
from stablenew.studio.guard import Guard
from stablenew.studio.site import site
from stablenew.studio.studio import Studio

PORT = 7870
_TRIED = 20
_PASSWORD = "STABLENEW_STUDIO_PASSWORD"  # the variable's name


@attrs.frozen(kw_only=True)
class Asked:
    """What the command line asks for.

    Attributes:
        port: None for the first that is free, from 7870 on.
        password: Of the environment.
    """

    settings: Settings
    host: str = "127.0.0.1"
    port: int | None = None
    opens: bool = True
    password: str | None = attrs.field(default=None, repr=False)


def read_studio(words: list[str], environ: dict[str, str] | None = None) -> Asked:
    """Read the words that follow `stablenew studio`.

    Raises:
        ConfigError: With what is wrong.
    """
    env = dict(os.environ) if environ is None else environ
    flags = _parser(env).parse_args(words)
    given: dict[str, object] = {"out": flags.out, "learning_enabled": True}
    urls = flags.url or []
    if len(urls) == 1:
        given |= {"backend": "server", "url": urls[0]}
    elif urls:
        given |= {"backend": "server", "urls": urls}
    if flags.auth:
        given["auth"] = flags.auth
    port = flags.port
    if port is not None and not (port.isdecimal() and int(port[:6]) < 65536):
        raise ConfigError(f"--port: given {port!r}, expected a number from 0 to 65535")
    password = env.get(_PASSWORD) or None
    if not is_loopback(flags.host) and password is None:
        raise ConfigError(
            f"--host: given {flags.host!r}, which others can reach: a password is required,"
            f" in the environment: {_PASSWORD}=…"
        )
    return Asked(
        settings=Settings.from_dict(given),
        host=flags.host,
        port=None if port is None else int(port),
        opens=flags.open,
        password=None if is_loopback(flags.host) else password,
    )


def _parser(environ: dict[str, str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="stablenew studio",
        usage="stablenew studio [options]",
        description="Open a window in the browser: say what to make, watch, rate, be advised.",
        allow_abbrev=False,
    )
    out = environ.get("STABLENEW_OUT") or "runs"
    parser.add_argument("--out", metavar="DIR", default=out, help="the folder of all runs (runs)")
    parser.add_argument("--url", metavar="URL", action="append", help="a server of yours")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="what that server asks for")
    parser.add_argument("--port", metavar="N", help=f"({PORT}, or the next one that is free)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help=f"what to bind to (127.0.0.1); beyond this machine with a password in {_PASSWORD}",
    )
    parser.add_argument("--no-open", dest="open", action="store_false", help="open no browser")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    return parser


def bound(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens: at the port, or at the first that is free.

    Raises:
        ConfigError: The port is in use, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    problem: OSError | None = None
    for each in range(PORT, PORT + _TRIED) if port is None else (port,):
        listening = socket.socket(family)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, each))
            listening.listen(128)
        except OSError as error:
            listening.close()
            problem = error
            continue
        return listening
    assert problem is not None
    where = f"--port: given {port}" if port is not None else f"--host: given {host!r}"
    raise ConfigError(f"{where}, {problem.strerror or problem}; expected one that is free")


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def run_studio(asked: Asked, stops: Stopping) -> ExitCode:
    """Serve the studio until it is stopped; the plan under way is cancelled then, and told.

    Raises:
        ConfigError: The port is in use, or a setting is wrong.
    """
    out = asked.settings.out
    listening = bound(asked.host, asked.port)
    token = await anyio.to_thread.run_sync(kept_token, out)
    names = frozenset[str]() if asked.password is None else names_of(asked.host)
    access = Access(token=token, password=asked.password, names=names)
    with ungrouped(), contextlib.closing(listening):
        async with open_app(asked.settings) as app, anyio.create_task_group() as beside:
            studio = Studio(app)
            for each in app.interrupted:
                say(each, err=True)
            server = _server(Guard(site(studio), access))
            stopped = anyio.Event()
            beside.start_soon(stops.watch, stopped.set)
            beside.start_soon(studio.run)
            beside.start_soon(studio.servers.search)
            beside.start_soon(_tell, asked, access, listening)
            beside.start_soon(_tell_queue, studio)
            async with anyio.create_task_group() as serving:
                serving.start_soon(partial(server.serve, sockets=[listening]))
                await stopped.wait()
                await studio.close()
                server.should_exit = True  # it lets go of its connections, which end by themselves
            beside.cancel_scope.cancel()
    return ExitCode.SUCCEEDED


def _server(app: Guard) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return _Server(config)


async def _tell(asked: Asked, access: Access, listening: socket.socket) -> None:
    """Say where the studio is, and open it."""
    port = listening.getsockname()[1]
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    address = f"http://{host}:{port}/"
    if asked.port is None and port != PORT:
        say(f"port {PORT} is in use; this is {port}", err=True)
    if asked.password is None:
        address = f"{address}?token={access.token}"
    say(f"studio: {address}", flush=True)
    if asked.password is not None:
        say("it asks for the password; what is sent is not encrypted", err=True)
    say(f"runs: {asked.settings.out}; Ctrl-C ends it", err=True)
    if asked.opens:
        opened = await anyio.to_thread.run_sync(webbrowser.open, address, abandon_on_cancel=True)
        if not opened:
            say("no browser here; open that address", err=True)


async def _tell_queue(studio: Studio) -> None:
    """Say what there is to say of the queue that an earlier studio left."""
    await studio.queue.restored.wait()
    for note in studio.queue.notes:
        say(note, err=True)
    if studio.queue.held:
        say("the queue waits until you resume or start it in the window", err=True)
