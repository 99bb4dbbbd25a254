"""Whose settings a server shows: while another client's job runs, that job's."""

from __future__ import annotations

import logging

import anyio
import pytest

from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui import idle_options
from stablenew.backends.webui.backend import WebUIBackend
from stablenew.backends.webui.idle_options import OPTIONS, read_idle_options
from stablenew.backends.webui.progress import PROGRESS, read_snapshot
from stablenew.errors import BackendUnavailableError
from tests.support import until
from tests.webui.driving import OtherClient, draw
from tests.webui.profiles import A1111, FORGE, Profile
from tests.webui.server import serve

BOTH_LOOPS = True


@pytest.mark.parametrize("profile", [A1111, FORGE], ids=lambda profile: profile.name)
async def test_another_clients_overrides_are_not_taken_for_the_servers_own(
    profile: Profile, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = {"sd_model_checkpoint": "randsd15-tiny-b", "CLIP_stop_at_last_layers": 5}
    with serve(profile, step_seconds=0.01, saved_options={"CLIP_stop_at_last_layers"}) as webui:
        other = OtherClient(webui)
        other.start(steps=40, override_settings=overrides)
        await until(lambda: webui.running)
        assert webui.options["CLIP_stop_at_last_layers"] == 5
        async with WebUIBackend(webui.url) as backend:
            picture = await draw(backend)
        other.join()
    used = picture.settings
    assert (used["model"], used["clip_skip"]) == ("randsd15-tiny-a", 1)
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("waiting for a job of another client" in each for each in said) == 1


async def test_a_server_that_is_idle_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    with serve(A1111) as webui:
        async with WebUIBackend(webui.url) as backend:
            with anyio.fail_after(20):
                await backend.capabilities()
            assert len(webui.paths(OPTIONS)) == 2
    assert "waiting" not in caplog.text


class Scripted(ServerClient):
    """Answers what a server shows, moment by moment: `1-b` is job 1 over, options b.

    `1+b` is job 1 running, `13b` is it at its third step.
    """

    def __init__(self, moments: str) -> None:
        super().__init__("http://server")
        self.moments = iter(moments.split())
        self._moment = ""

    async def get(self, path: str, *, tries: int = 1) -> object:
        if path == PROGRESS:
            self._moment = next(self.moments)
            return _progress(self._moment)
        return {"sd_model_checkpoint": self._moment[2]}


def _progress(moment: str) -> dict[str, object]:
    busy = moment[1] != "-"
    state = {"job": "x" if busy else "", "job_count": int(busy), "job_timestamp": moment[0]}
    return {"progress": 0.5, "state": {**state, "sampling_step": moment[1]}}


@pytest.mark.parametrize(
    ("moments", "left"),
    [
        ("1-a 1-a 9", 1),  # idle all the time
        ("1-b 2+b 2-a 2-a 9", 1),  # a job began between the first look and the options
        ("1-b 2-a 2-a 9", 1),  # one came and went
        ("1-b 1-a 1-a 9", 1),  # one within the second of the one before it
        ("1+b 1+b 1-b 1-a 1-a 9", 1),  # it ended between a look and the options
    ],
)
async def test_only_what_is_shown_twice_with_no_job_between_is_the_servers_own(
    moments: str, left: int
) -> None:
    assert await read_from(moments) == ({"sd_model_checkpoint": "a"}, left)


QUEUE = "1+a 1+a 2+a 3+a 4+a 5+a 6+a 7+a 8+a 9+a"
"""Jobs that follow one another without a pause."""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it wait for no more than two looks."""
    monkeypatch.setattr(idle_options, "_LOOK", 0.01)
    monkeypatch.setattr(idle_options, "_PATIENCE", 0.015)


async def read_from(moments: str) -> tuple[object, int]:
    """Return what is read, and how many moments are left."""
    client = Scripted(moments)
    before = read_snapshot(await client.get(PROGRESS))
    assert before is not None
    options = await read_idle_options(client, before, await client.get(OPTIONS))
    return options, len(list(client.moments))


@pytest.mark.usefixtures("hasty")
async def test_what_every_job_of_an_endless_queue_shows_is_taken_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options, left = await read_from(QUEUE)
    assert options == {"sd_model_checkpoint": "a"}
    assert left
    assert "never idle; what it shows is taken for its own: sd_model_checkpoint 'a'" in caplog.text


@pytest.mark.usefixtures("hasty")
async def test_an_endless_queue_of_different_settings_is_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="each with settings of its own"):
        await read_from(QUEUE.replace("4+a", "4+b").replace("2+a", "2+b"))


@pytest.mark.usefixtures("hasty")
async def test_one_job_is_waited_for_as_long_as_it_moves() -> None:
    moving = " ".join(f"1{step}b" for step in "12345678")
    assert await read_from(f"1+b {moving} 1-a 1-a 9-x") == ({"sd_model_checkpoint": "a"}, 1)
