"""A studio for a real browser: as a process, or in a thread with a backend that is steered."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Page

from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.errors import BackendError
from tests.studio.serving import TOKEN, Served, served

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
HOSTILE = "<img src=x onerror=alert(1)></script> \u202ered javascript:alert(2)"


class StudioProgram:
    """A studio as a process of its own; started again, it is at the same address."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.port: str | None = None
        self.start()

    def start(self) -> None:
        # Servers that happen to run on this machine are none of its business.
        command = (
            "import sys; from stablenew.run import command; from stablenew.studio import servers;"
            "servers.USUAL = (); sys.exit(command())"
        )
        words = [sys.executable, "-c", command, "studio", "--out", str(self.runs)]
        port = ["--port", self.port] if self.port else []
        self.process = subprocess.Popen(
            [*words, "--no-open", *port], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said = ""
        told = threading.Event()
        self.reader = threading.Thread(target=self._read, args=(told,))
        self.reader.start()
        assert told.wait(30), self.said
        found = re.search(r"http://[^\s]+", self.said)
        assert found, self.said
        self.address = found.group()
        port_found = re.search(r":(\d+)/", self.address)
        assert port_found
        self.port = port_found.group(1)

    def _read(self, told: threading.Event) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line.decode()
            if "token=" in self.said:
                told.set()
        told.set()

    def kill(self) -> None:
        """Kill it, as nothing can be caught."""
        self.process.kill()
        self._ended()

    def interrupt(self) -> int:
        """Press Ctrl-C in its terminal; return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(30)
        self.reader.join()
        assert self.process.stdout
        self.process.stdout.close()
        return code


class Steered(FakeBackend):
    """Makes so many pictures as it is allowed to, all where nothing is said; fails where told to.

    Attributes:
        allowance: How many more.
        failing: The cfg scales whose pictures fail, and what they say.
    """

    def __init__(self) -> None:
        super().__init__(self._behaviour_of)
        self.allowance = 10_000
        self.failing: dict[object, str] = {}
        self._news = anyio.Event()

    def allow(self, count: int) -> None:
        """Have it make so many more; in its own loop."""
        self.allowance += count
        self._news.set()
        self._news = anyio.Event()

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        while self.allowance < 1:
            await self._news.wait()
        self.allowance -= 1
        return await super().run_stage(request, report)

    def _behaviour_of(self, request: StageRequest, _: int) -> Behaviour:
        words = self.failing.get(request.settings.get("cfg_scale"))
        return Behaviour(error=None if words is None else BackendError(words, retryable=False))


@attrs.frozen(kw_only=True)
class Threaded:
    """A studio in a thread of this process, and its backend beside the embedded one."""

    portal: BlockingPortal
    served: Served
    backend: Steered
    runs: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.served.port}/?token={TOKEN}"

    def allow(self, count: int) -> None:
        """Have the backend make so many more pictures."""
        self.portal.call(self.backend.allow, count)

    def make(self, values: Sequence[object] = (2, 5, 9), **job: object) -> str:
        """Have a plan made, by the steered backend unless it says otherwise; return its id."""
        axes = [{"path": "txt2img.cfg_scale", "values": list(values)}]
        asked = {"prompt": "a cat", "backend": "fake", "learning": {"axes": axes}, **job}
        ended = sum(each.state == "ended" for each in self.served.studio.queue.items)
        self.portal.call(self.served.post, "api/queue", {"job": asked}, 201)
        return str(self.portal.call(self.served.ended, ended + 1)[-1]["plan_id"])

    def hold(self) -> None:
        """Have the backend wait, before its next picture, for `allow`."""
        self.backend.allowance = 0


@contextmanager
def in_a_thread(runs: Path) -> Iterator[Threaded]:
    backend = Steered()
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(served(runs, backend)) as one,
    ):
        try:
            yield Threaded(portal=portal, served=one, backend=backend, runs=runs)
        finally:
            portal.call(backend.allow, 10_000)


@contextmanager
def opened(browser: Browser, address: str, **how: object) -> Iterator[Page]:
    """Open a page that must see no error, no dialog and nothing that its own policy forbids."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})  # type: ignore[arg-type]  # any of its options
    page = context.new_page()
    page.set_default_timeout(30_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("console", lambda said: problems.extend([said.text] * ("Content Sec" in said.text)))
    page.goto(address)
    try:
        yield page
    finally:
        context.close()
    assert problems == []


def view(page: Page, name: str, *rest: str) -> None:
    """Go to a view as its address has it."""
    page.evaluate("hash => { location.hash = hash }", "/".join([name, *rest]))
    page.locator(f"#view.{name.partition('/')[0]}").wait_for()


def choose_server(page: Page, server: str) -> None:
    """Choose a server in the form, once there is one."""
    page.locator("[data-path='txt2img.steps']").wait_for()
    if page.locator("#server").input_value() != server:
        with page.expect_response("**/api/form?*"):
            page.locator("#server").select_option(server)


def ask_for(
    page: Page,
    values: str,
    prompt: str = "penguin in the snow",
    steps: str = "2",
    server: str = "embedded",
) -> None:
    """Say what to make in the form, up to Start."""
    choose_server(page, server)
    page.locator(".prompts textarea").fill(prompt)
    page.locator("[data-path='txt2img.steps'] input").fill(steps)
    page.get_by_label("explore txt2img.cfg_scale").click()
    field = page.locator("[data-path='txt2img.cfg_scale']")
    for chip in field.locator(".chip").all():  # what the server takes by itself
        chip.click()
    field.locator("input").fill(values)
    field.locator("input").press("Enter")
    page.locator("#start:not([disabled])").wait_for()


def made(page: Page, count: int) -> None:
    """Wait until exactly so many pictures are shown."""
    page.wait_for_function("n => document.querySelectorAll('.shot img').length === n", arg=count)


def says(page: Page, selector: str, words: str) -> None:
    """Wait until an element has some words in its text."""
    page.locator(selector).filter(has_text=words).first.wait_for()
