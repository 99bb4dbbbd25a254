"""The studio: a window in the browser, an ASGI app over an open app.

async with open_app(Settings(out="runs")) as app:
    mine.mount("/studio", stablenew.studio.asgi(app))
"""

from __future__ import annotations

from stablenew.app import App
from stablenew.studio.access import Access
from stablenew.studio.guard import Guard
from stablenew.studio.site import site
from stablenew.studio.studio import Studio


def asgi(app: App, *, token: str | None = None, names: frozenset[str] = frozenset()) -> Guard:
    """Return the studio of an open app, to be mounted in somebody's own ASGI program.

    It ends with the app. `studio.access.token` is what the address carries that opens it:
    `/studio/?token=…`.

    Args:
        app: An open one.
        token: In place of one that is made up.
        names: What the program may be called in an address, beside `localhost` and its numbers.
    """
    studio = Studio(app, hosted=True)
    app.tasks.start_soon(studio.run, name="studio")
    access = Access(names=names) if token is None else Access(token=token, names=names)
    return Guard(site(studio), access)
