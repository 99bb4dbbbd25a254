"""Lets a request through, or not: what it is called, where it comes from, whether it may.

What it promises, with a test for each line:

1. The `Host` is a name of the studio: another site's that leads here (DNS rebinding) is refused.
2. A request that a page of somebody else's makes is refused, by `Origin` and by `Sec-Fetch-Site`,
   also of another port of this machine, whose pages get our cookie sent.
3. Without the cookie nothing is answered but the way to get one: the address with the token, which
   sets it, or with a password the form that asks for it, one try a second.
4. Nothing is changed by GET, and a change is no form of another page: JSON, or bytes of an upload.
5. Every answer says that a browser runs scripts and takes styles from here alone, is in no frame,
   guesses no content type and tells nobody the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

import anyio
import attrs
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stablenew.errors import StableNewError
from stablenew.studio.access import Access, is_origin
from stablenew.studio.answers import body_of, error_answer, refusal

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
        " connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_READS = ("GET", "HEAD")
_OURS = ("same-origin", "none")
_LONGEST_FORM = 4096
_BETWEEN_TRIES = 1.0
"""Seconds that a wrong password costs, whoever tries."""

_A_YEAR = 365 * 24 * 3600

_NO_ENTRY = """<!doctype html><html lang="en"><meta charset="utf-8"><title>StableNew studio</title>
<h1>StableNew studio</h1><p>Open the address that the terminal shows, with the token in it.</p>
"""
_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>StableNew studio</title>
<meta name="viewport" content="width=device-width"><h1>StableNew studio</h1>
<form method="post" action="login"><label>Password <input type="password" name="password" autofocus
 autocomplete="current-password"></label> <button>Open</button></form>
"""


@attrs.define(eq=False)
class Guard:
    """Stands before an ASGI app; see the module."""

    app: ASGIApp
    access: Access
    _trying: anyio.Lock = attrs.field(factory=anyio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the app do so."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # we have none
                await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        try:
            answer = self._refused(request) or await self._entry(request)
        except StableNewError as error:
            answer = error_answer(error)
        await (answer or self.app)(scope, receive, _with_headers(send))

    def _refused(self, request: Request) -> Response | None:
        """Return a no to a request that comes under a wrong name, or from elsewhere."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self.access.is_called(hosts[0]):
            return refusal(403, f"Host: given {', '.join(hosts)[:100]!r}, which is no name of this")
        origins = request.headers.getlist("origin")
        site = request.headers.get("sec-fetch-site", "none")
        if any(not is_origin(each, hosts[0]) for each in origins):
            return refusal(
                403, f"Origin: given {', '.join(origins)[:100]!r}, which is another page"
            )
        opens = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
        if site not in _OURS and not (opens and _path(request) == "/"):
            return refusal(403, f"Sec-Fetch-Site: given {site[:100]!r}, which is another page")
        return None

    async def _entry(self, request: Request) -> Response | None:
        """Return what lets somebody in, or asks who it is; None for who is in."""
        cookie = _cookie_name(request)
        if "token" in request.query_params and request.method == "GET":
            if self.access.opens(request.query_params["token"]):
                return self._let_in(request, cookie)
        elif _path(request) == "/login" and self.access.password is not None:
            return await self._log_in(request, cookie)
        if self.access.admits(_cookies(request).get(cookie, "")):
            return None
        if self.access.password is not None and _wants_page(request):
            return HTMLResponse(_LOGIN, 401)
        if _wants_page(request):
            return HTMLResponse(_NO_ENTRY, 401)
        return refusal(401, "no cookie of this studio; open the address that the terminal shows")

    async def _log_in(self, request: Request, cookie: str) -> Response:
        """Take a password; the next try waits for the end of this one."""
        if request.method in _READS:
            return HTMLResponse(_LOGIN)
        form = parse_qs((await body_of(request, _LONGEST_FORM)).decode(errors="replace"))
        async with self._trying:
            if self.access.knows(form.get("password", [""])[0]):
                return self._let_in(request, cookie)
            await anyio.sleep(_BETWEEN_TRIES)
        return HTMLResponse(_LOGIN, 401)

    def _let_in(self, request: Request, cookie: str) -> Response:
        answer = RedirectResponse("./", 303, {"Cache-Control": "no-store"})
        answer.set_cookie(
            cookie,
            self.access.pass_,
            max_age=_A_YEAR,
            path=f"{request.scope.get('root_path', '')}/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer


def _path(request: Request) -> str:
    """Return the path below where the app is mounted."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    return str(path).removeprefix(str(root)) or "/"


def _wants_page(request: Request) -> bool:
    return request.method in _READS and _path(request) == "/"


def _cookie_name(request: Request) -> str:
    """Return what the cookie is called: cookies of all ports of a machine lie together."""
    port = request.headers["host"].rpartition(":")[2]
    return f"stablenew-studio-{port if port.isdecimal() else 80}"


def _cookies(request: Request) -> dict[str, str]:
    """Return a request's cookies; broken ones, of other programs on this machine, are none."""
    found: dict[str, str] = {}
    for piece in request.headers.get("cookie", "").split(";"):
        try:
            for name, morsel in SimpleCookie(piece.strip()).items():
                found.setdefault(name, morsel.value)
        except CookieError:
            continue
    return found


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
