from __future__ import annotations

import io

import anyio
import pytest
from PIL import Image

from stablenew.backends.base import Backend, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend, fake_picture
from stablenew.errors import BackendRejectedError

BOTH_LOOPS = True


REQUEST = StageRequest(request_id="r", stage="txt2img", settings={"seed": 1})


async def ignore(fraction: float, **_: object) -> None:
    pass


async def test_it_is_a_backend_and_makes_real_pictures() -> None:
    fake: Backend = FakeBackend()
    async with fake as backend:
        (picture,) = await backend.run_stage(REQUEST, ignore)
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    assert image.size == (picture.width, picture.height)


def test_the_colour_follows_from_the_settings() -> None:
    other = StageRequest(request_id="s", stage="txt2img", settings={"seed": 2})
    assert fake_picture(REQUEST).data == fake_picture(REQUEST).data
    assert fake_picture(REQUEST).data != fake_picture(other).data


async def test_it_fails_hangs_and_returns_nothing_as_scripted() -> None:
    script = {
        1: Behaviour(error=BackendRejectedError("out of memory", status=500)),
        2: Behaviour(images=0),
        3: Behaviour(hang=True),
    }
    fake = FakeBackend(lambda request, call: script[call])
    with pytest.raises(BackendRejectedError):
        await fake.run_stage(REQUEST, ignore)
    assert await fake.run_stage(REQUEST, ignore) == []
    with anyio.move_on_after(0.01) as scope:
        await fake.run_stage(REQUEST, ignore)
    assert scope.cancelled_caught
    assert len(fake.calls) == 3
    assert fake.most_running == 1


async def test_it_reports_progress_and_notes_interrupts() -> None:
    fractions: list[float] = []

    async def note(fraction: float, **_: object) -> None:
        fractions.append(fraction)

    fake = FakeBackend(Behaviour(delay=0.01, progress=(0.1, 0.7)))
    await fake.run_stage(REQUEST, note)
    receipt = await fake.interrupt("r")
    assert fractions == [0.1, 0.7]
    assert fake.interrupts == ["r"]
    assert receipt.confirmed
