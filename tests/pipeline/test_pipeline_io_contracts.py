"""What a run leaves on disk."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from stablenew.app import open_app
from stablenew.backends.base import Picture, ReportProgress, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.pipeline_config import PipelineConfig
from stablenew.config.settings import Settings
from stablenew.errors import BackendRejectedError, ConfigError
from stablenew.events.bus import EventBus
from stablenew.pipeline.image_store import ImageStore
from stablenew.pipeline.pipeline_runner import PipelineRunner
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from stablenew.pipeline.stage_sequencer import StageSequencer
from tests.support import config, leftovers, request, ticking_clock


async def run_once(
    runs: Path, run: RunRequest, backend: FakeBackend | None = None
) -> PipelineRunResult:
    backend = backend or FakeBackend()
    async with EventBus(strict=True) as bus:
        sequencer = StageSequencer(backend, bus, ImageStore(runs))
        return await PipelineRunner(backend, sequencer, clock=ticking_clock()).run(run)


def metadata(runs: Path, run_id: str = "run-1") -> dict[str, object]:
    content = json.loads((runs / run_id / "run_metadata.json").read_text())
    assert isinstance(content, dict)
    return content


async def test_pictures_are_the_backends_bytes_with_their_hash(runs: Path) -> None:
    result = await run_once(runs, request(images=2, upscale={}))
    assert [output.path for output in result.outputs] == [
        "run-1/txt2img_1.png",
        "run-1/txt2img_2.png",
        "run-1/upscale_1.png",
        "run-1/upscale_2.png",
    ]
    for output in result.outputs:
        data = (runs / output.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == output.sha256
    assert leftovers(runs) == []


async def test_the_metadata_keeps_the_older_keys_and_says_how_it_ended(runs: Path) -> None:
    run = RunRequest(
        run_id="run-1",
        config=config(),
        metadata={"prompt_pack_id": "heroes", "one_click_action_id": "click-1"},
    )
    await run_once(runs, run)
    content = metadata(runs)
    assert content["run_id"] == "run-1"
    assert content["packs"] == ["heroes"]
    assert content["one_click_action"] == "click-1"
    assert content["timestamp"]
    assert content["outcome"] == "succeeded"
    assert content["error"] is None
    assert content["config"]["txt2img"]["steps"] == 20  # type: ignore[index]
    outputs = content["stage_outputs"]
    assert isinstance(outputs, list)
    assert [output["image_id"] for output in outputs] == ["txt2img_1"]


async def test_the_configuration_in_the_metadata_runs_again(runs: Path) -> None:
    first = await run_once(runs, request(upscale={}))
    again = PipelineConfig.from_dict(metadata(runs)["config"])  # type: ignore[arg-type]
    second = await run_once(runs, RunRequest(run_id="run-2", config=again))
    assert [output.sha256 for output in first.outputs] == [o.sha256 for o in second.outputs]


async def test_a_failed_run_has_metadata_with_its_error(runs: Path) -> None:
    error = BackendRejectedError("out of memory", status=500)
    await run_once(runs, request(), FakeBackend(Behaviour(error=error)))
    content = metadata(runs)
    assert content["outcome"] == "failed"
    assert content["error"] == {
        "kind": "BackendRejectedError",
        "message": "out of memory",
        "stage": "txt2img",
    }


async def test_a_seed_that_is_drawn_is_in_the_metadata(runs: Path) -> None:
    run = RunRequest(run_id="run-1", config=config(txt2img={"seed": -1}))
    result = await run_once(runs, run)
    assert result.config.txt2img.seed == 1234
    assert metadata(runs)["config"]["txt2img"]["seed"] == 1234  # type: ignore[index]
    assert run.config.txt2img.seed == -1


async def test_an_earlier_picture_is_never_overwritten(runs: Path) -> None:
    await run_once(runs, request())
    path = runs / "run-1" / "txt2img_1.png"
    path.write_bytes(b"precious")
    result = await run_once(runs, request())
    assert result.outcome is Outcome.SUCCEEDED
    assert path.with_name("txt2img_1.png.aside1").read_bytes() == b"precious"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert leftovers(runs) == []


@pytest.mark.parametrize("run_id", ["../x", "a/b", "", ".hidden", "a\0b", "x" * 200])
async def test_a_run_id_that_is_not_safe_as_a_file_name_is_refused(runs: Path, run_id: str) -> None:
    with pytest.raises(ConfigError, match="run_id"):
        await run_once(runs, RunRequest(run_id=run_id, config=config()))
    assert not runs.exists()


@pytest.mark.parametrize(("kind", "ending"), [("JPEG", "jpg"), ("WEBP", "webp"), ("PNG", "png")])
async def test_the_ending_follows_the_bytes(runs: Path, kind: str, ending: str) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (9, 7)).save(encoded, kind)

    class Odd(FakeBackend):
        async def run_stage(self, request: StageRequest, report: ReportProgress) -> list[Picture]:
            return [Picture(data=encoded.getvalue(), width=9, height=7, settings={})]

    result = await run_once(runs, request(), Odd())
    assert result.outputs[0].path == f"run-1/txt2img_1.{ending}"


async def test_a_config_that_cannot_run_leaves_nothing_behind(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        with pytest.raises(ConfigError, match=r"txt2img\.prompt"):
            await app.pipeline.run_pipeline({"txt2img": {"prompt": ""}})
    assert not runs.exists()


async def test_large_pictures_are_hashed_like_small_ones(runs: Path) -> None:
    data = b"\x89PNG" + bytes(200_000)
    store = ImageStore(runs)
    picture = Picture(data=data, width=1, height=1, settings={})
    output = await store.save("run-1", "txt2img", 1, picture)
    assert output.sha256 == hashlib.sha256(data).hexdigest()
    assert await store.load(output) == data
