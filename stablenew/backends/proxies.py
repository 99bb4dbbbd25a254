"""Which proxy of the environment stands before a server: none before this machine itself.

`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, or what the system has in their place. A
proxy on its own machine means another 127.0.0.1 than the person who typed it, so that what is
loopback, or resolves to it, never goes through one.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import attrs

from stablenew.errors import ConfigError

_RESOLVED_WITHIN = 2.0
"""Seconds that a name may take: behind a proxy there may be nobody who knows it."""


@attrs.frozen(kw_only=True)
class ServerProxy:
    """A proxy that stands before a server.

    Attributes:
        url: Where it is; may hold credentials.
        host: The server's, for `NO_PROXY`.
    """

    url: str = attrs.field(repr=False)
    host: str

    @property
    def address(self) -> str:
        """Where it is, without credentials."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def way_around(self) -> str:
        """How to reach the server without it."""
        return f"NO_PROXY={self.host} goes around it"


async def proxy_before(url: str) -> ServerProxy | None:
    """Return the proxy through which a server is to be asked, None for none.

    Raises:
        ConfigError: What the environment has is no proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc) or _is_excepted(host, proxies.get("no", "")):
        return None
    if await _is_this_machine(host):
        return None
    found = ServerProxy(url=proxy if "://" in proxy else f"http://{proxy}", host=host)
    _check(found)
    return found


def _check(proxy: ServerProxy) -> None:
    kinds = ("http", "https", "socks5", "socks5h")
    try:
        parts = urlsplit(proxy.url)
        fits = parts.scheme in kinds and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(
            f"the environment's proxy is not one of {', '.join(kinds)} with HOST:PORT;"
            f" {proxy.way_around}"
        )


def _is_excepted(host: str, excepted: str) -> bool:
    """Return whether `NO_PROXY` names a host in a way that `proxy_bypass` does not know."""
    address = _address(host)
    for name in map(str.strip, excepted.split(",")):
        if name == "*" or (name.startswith("*.") and host.endswith(name[1:].lower())):
            return True
        try:
            if address is not None and address in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:  # a name
            continue
    return False


async def _is_this_machine(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    if host == "localhost" or host.endswith(".localhost"):
        return True
    found: list[str] = []
    with anyio.move_on_after(_RESOLVED_WITHIN):
        try:
            resolved = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return False
        found = [str(each[4][0]) for each in resolved]
    addresses = [_address(each.partition("%")[0]) for each in found]
    return bool(addresses) and all(each is not None and each.is_loopback for each in addresses)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
