"""What holds for the whole program, whatever it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from stablenew._arguments import checked, checked_list
from stablenew._convert import structure, takes_numpy
from stablenew._names import checked_path
from stablenew.config.input_file import without_control_characters
from stablenew.config.pipeline_config import bounded
from stablenew.config.server_url import DEFAULT_COMFYUI_URL, DEFAULT_URL, same_server, split_url
from stablenew.errors import ConfigError

RECORDS_FILE = "learning_records.jsonl"

WITH_SERVER = ("webui", "comfyui", "server")
"""The backends that have one; `server` finds out which of the others answers."""


def _to_path(value: object) -> Path:
    return Path(without_control_characters("out", checked_path("out", value)))


def _usual_url(settings: Settings) -> str:
    if settings.urls:
        return settings.urls[0]
    return DEFAULT_COMFYUI_URL if settings.backend == "comfyui" else DEFAULT_URL


def _to_urls(given: Iterable[str]) -> tuple[str, ...]:
    return checked_list("urls", given, str)


def _is_bool(_: object, field: attrs.Attribute[bool], value: bool) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{field.name}: given {value!r}, expected true or false")


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class Settings:
    """Where things go, what makes the pictures, and how long to wait.

    Attributes:
        out: The folder of all runs.
        backend: Which backend makes the pictures.
        url: Where the server is, for backends that have one; credentials in it move to `auth`.
            Where such a server usually listens, if it is not given.
        urls: Where several servers are, which share each plan; `url` is the first of them.
        mix_servers: Whether several may be of different kinds, whose pictures differ.
        skip_unreachable: Whether those of several are left out that do not answer at first.
        auth: The server's `user:password`, None where it wants none; of several, that of each that
            has no credentials in its URL.
        wait_for_server: Seconds that a run waits for a server that went away, 0 for not at all.
        learning_enabled: Whether runs leave learning records.
        reuse: Whether a picture that is there already is used again instead of being made.
        step_timeout: Seconds after which a step is given up, None for never.
        stall_timeout: Seconds without progress after which a stage is given up.
    """

    out: Path = attrs.field(default=Path("runs"), converter=_to_path)
    backend: str = "embedded"
    urls: tuple[str, ...] = attrs.field(default=(), converter=_to_urls)
    url: str = attrs.field(default=attrs.Factory(_usual_url, takes_self=True))
    mix_servers: bool = attrs.field(default=False, validator=_is_bool)
    skip_unreachable: bool = attrs.field(default=False, validator=_is_bool)
    auth: str | None = attrs.field(default=None, repr=False)
    wait_for_server: float = attrs.field(default=60.0, validator=bounded(0, 1e9))
    learning_enabled: bool = attrs.field(default=False, validator=_is_bool)
    reuse: bool = attrs.field(default=True, validator=_is_bool)
    step_timeout: float | None = attrs.field(default=None, validator=bounded(0.001, 1e9))
    stall_timeout: float = attrs.field(default=120.0, validator=bounded(0.001, 1e9))

    servers: tuple[Settings, ...] = attrs.field(init=False, default=(), eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        checked("backend", self.backend, str)
        auth = None if self.auth is None else checked("auth", self.auth, str)
        servers = _servers(self)
        object.__setattr__(self, "servers", servers)
        object.__setattr__(self, "urls", tuple(each.url for each in servers) if self.urls else ())
        url, auth = split_url(checked("url", self.url, str), auth)
        object.__setattr__(self, "url", url)  # frozen for everybody else
        object.__setattr__(self, "auth", auth)

    @property
    def server_url(self) -> str | None:
        """Where the server is; None for a backend without one."""
        return self.url if self.backend in WITH_SERVER else None

    @property
    def records_path(self) -> Path:
        """The record file."""
        return self.out / RECORDS_FILE

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Settings:
        """Build settings from plain data.

        Raises:
            ConfigError: With every problem: the key, what was given, what would be right.
        """
        return structure(data, cls)


def _servers(settings: Settings) -> tuple[Settings, ...]:
    """Return the settings of each of several servers; none where there is one.

    Raises:
        ConfigError: One is no URL, or is there twice.
    """
    if not settings.urls:
        return ()
    servers: dict[object, Settings] = {}
    for url in settings.urls:
        each = attrs.evolve(settings, url=url, urls=())
        before = servers.setdefault(same_server(each.url), each)
        if before is not each:
            raise ConfigError(
                f"urls: {before.url} and {each.url} are the same server; expected it once"
            )
    if same_server(split_url(settings.url)[0]) not in servers:
        raise ConfigError("url, urls: given both; expected one of them")
    return tuple(servers.values())


def prepare_out_folder(out: Path) -> None:
    """Make the output folder and see that it can be written to.

    Raises:
        ConfigError: It cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".probe-"):
            pass
    except OSError as error:
        raise ConfigError(
            f"out: cannot write to {str(out)!r} ({error.strerror}); expected a folder to write to"
        ) from error
