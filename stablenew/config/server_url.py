"""Where a server is and who may use it; credentials are kept apart, so that nobody prints them."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from stablenew.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:7860"
"""Where AUTOMATIC1111 listens unless it is told otherwise."""

DEFAULT_COMFYUI_URL = "http://127.0.0.1:8188"
"""Where ComfyUI does."""

_PAGES = re.compile(r"/(?:(?:sdapi|internal)(?:/.*)?|docs|redoc|openapi\.json)$")
"""What a path ends with that was copied from the address of one of a server's own pages."""


def split_url(url: str, auth: str | None = None) -> tuple[str, str | None]:
    """Return a server's URL without credentials, and its credentials as `user:password`.

    Args:
        url: `http://host:port`, with a path where the server is below one; a bare `host:port` is
            taken as http. May hold credentials, and may be what stands in a browser: with `?…`,
            `#…` or the path of a page.
        auth: `user:password`; beats those in the URL.

    Raises:
        ConfigError: One of them is none; what was given is not repeated where it holds a password.
    """
    parts, port = _split(url.strip())
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    path = _PAGES.sub("", parts.path.rstrip("/")).rstrip("/")
    address = f"{parts.scheme}://{host}{port}{path}"
    if auth is None and parts.username is not None:
        auth = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    if auth is not None and not auth.partition(":")[1]:
        raise ConfigError("auth: given something without a colon, expected user:password")
    return address, auth


_PORTS = {"http": 80, "https": 443}
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # what people write


def same_server(url: str) -> tuple[object, ...]:
    """Return what the URLs of one server have in common, however they are spelled.

    Args:
        url: As `split_url` returns it.
    """
    parts = urlsplit(url)
    host = "localhost" if parts.hostname in _THIS_MACHINE else parts.hostname
    return host, parts.port or _PORTS[parts.scheme], parts.path


def _split(url: str) -> tuple[SplitResult, str]:
    """Return the URL's parts, and its port as it is written behind the host."""
    shown = repr(url) if "@" not in url else "a URL with credentials"
    expected = "expected http://HOST:PORT or https://HOST:PORT"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:  # its text may repeat the credentials
        raise ConfigError(f"url: given {shown}, {expected}") from None
    stray = "@" in parts.path + parts.query + parts.fragment  # a password with a / in it
    if parts.scheme not in ("http", "https") or not parts.hostname or stray or parts.port == 0:
        raise ConfigError(f"url: given {shown}, {expected}")
    if any(letter.isspace() for letter in url):
        raise ConfigError(f"url: given {shown}, {expected} without blanks")
    return parts, port
