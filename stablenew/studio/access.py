"""Who may use the studio, and from where: a token, a cookie, and the names that it is called by."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

import attrs

FOLDER = ".studio"
"""In the folder of all runs: what the studio keeps for itself; never served."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


@attrs.frozen(kw_only=True)
class Access:
    """What a request has to show.

    Attributes:
        token: What the address that is opened carries.
        password: What is asked for in its place, beyond this machine; None on it.
        names: What it may be called in an address, beside the names of this machine to itself.
    """

    token: str = attrs.field(factory=secrets.token_urlsafe, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    names: frozenset[str] = frozenset()

    @property
    def pass_(self) -> str:
        """What the cookie holds: another password makes all that were given worthless."""
        key, said = self.token.encode(), (self.password or "").encode()
        return hmac.new(key, said, hashlib.sha256).hexdigest()

    def opens(self, token: str) -> bool:
        """Return whether a token is the right one; with a password there is none that is."""
        return self.password is None and _same(token, self.token)

    def knows(self, password: str) -> bool:
        """Return whether a password is the right one."""
        return self.password is not None and _same(password, self.password)

    def admits(self, cookie: str) -> bool:
        """Return whether a cookie is one of ours."""
        return _same(cookie, self.pass_)

    def is_called(self, host: str) -> bool:
        """Return whether a `Host` header names the studio.

        A page of somebody else's can have its own name lead to this machine (DNS rebinding); so a
        name has to be known. An address of numbers nobody can have made up, so beyond loopback
        every such is fine.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].strip("[]").lower()
        if name in LOOPBACK or name in self.names:
            return True
        return self.password is not None and _is_address(name)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what is bound to a host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(host: str) -> frozenset[str]:
    """Return what the studio may be called where it is bound to a host beyond loopback."""
    own = socket.gethostname().lower()
    return frozenset({host.lower(), own, f"{own}.local"}) - {""}


def is_origin(origin: str, host: str) -> bool:
    """Return whether an `Origin` is a page of the studio itself; a proxy may speak https for it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def kept_token(out: Path) -> str:
    """Return the token of a folder of runs; it lasts, so that a tab outlives a restart.

    It is for its owner's eyes. Where the folder cannot be written to it lasts as long as the
    process. Blocks.
    """
    path = out / FOLDER / "token"
    try:
        known = path.read_text().strip()
    except OSError:
        known = ""
    if len(known) >= 32:  # as long as one that was made here
        return known
    token = secrets.token_urlsafe()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
    except OSError:
        pass
    return token
