"""What reuse saves, and what it costs; how long the index takes to be made anew.

python scripts/bench_reuse.py [--delay 0.05] [--pictures 100000]

Runs three plans on a backend that takes `--delay` seconds a picture, and 20 times that to load
another model: a sweep of ten upscales, one of ten img2img strengths, and a grid of two models and
five cfg_scales. Each with reuse, without it, and as a naive loop: every stage for every value, in
the order of the values, each picture written to disk. Prints backend calls beside the number of
distinct fingerprints, model loads, wall time, and the time per reused stage.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from stablenew import (
    FakeBackend,
    LearningExecutionResult,
    Picture,
    PipelineConfig,
    Settings,
    StageRequest,
    build_learning_plan_from_dict,
    open_app,
)
from stablenew._convert import json_line
from stablenew.backends.base import ReportProgress
from stablenew.backends.fake import FAKE_CAPABILITIES, fake_picture
from stablenew.learning.learning_steps import derive_steps
from stablenew.pipeline.picture_index import INDEX_FILE, PictureIndex
from stablenew.pipeline.results import StageOutput
from stablenew.pipeline.stage_plan import plan_stages

LOAD = 20
"""How many pictures' time it takes to load a model."""

CONFIG: dict[str, object] = {"txt2img": {"prompt": "a cat", "seed": 1}}
PLANS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "10 upscales": (
        {"target_variable": "upscale.upscaling_resize", "sweep_values": [*range(2, 12)]},
        {**CONFIG, "upscale": {"enabled": True}},
    ),
    "10 img2img": (
        {
            "target_variable": "img2img.denoising_strength",
            "sweep_values": [n / 10 for n in range(10)],
        },
        {**CONFIG, "img2img": {"enabled": True}},
    ),
    "2 models × 5": (
        {
            "target_variable": "txt2img.model",
            "sweep_values": ["fake-model", "other-model"],
            "y_variable": "txt2img.cfg_scale",
            "y_values": [1, 3, 5, 7, 9],
            "mode": "grid",
        },
        CONFIG,
    ),
}


class Timed(FakeBackend):
    """Takes its time, and longer for another model.

    Attributes:
        loads: How often another model was loaded.
    """

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.loads = 0
        self._delay = delay
        self._model: object = None

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        self.calls.append(request)
        model = request.settings.get("model")
        if model is not None and model != self._model:
            self.loads += 1
            self._model = model
            await anyio.sleep(LOAD * self._delay)
        await anyio.sleep(self._delay)
        await report(1.0)
        return [fake_picture(request)]


async def ours(name: str, out: Path, delay: float, *, reuse: bool) -> tuple[Timed, float]:
    """Run a plan; return what the backend saw, and seconds."""
    plan, config = PLANS[name]
    backend = Timed(delay)
    async with open_app(Settings(out=out, reuse=reuse), backend=backend) as app:
        started = time.perf_counter()
        result = await app.learning.run_learning_plan(plan, config)
        seconds = time.perf_counter() - started
        assert result.success
    return backend, seconds


async def naive(name: str, out: Path, delay: float) -> tuple[Timed, float]:
    """Do the same with a loop."""
    plan, config = PLANS[name]
    backend = Timed(delay)
    out.mkdir()
    steps = derive_steps(build_learning_plan_from_dict(plan), PipelineConfig.from_dict(config))
    started = time.perf_counter()
    for step in steps:
        image = None
        for stage in plan_stages(step.config_snapshot, FAKE_CAPABILITIES).stages:
            request = StageRequest(
                request_id="r", stage=stage.name, settings=stage.settings, image=image
            )
            (picture,) = await backend.run_stage(request, _report)
            image = picture.data
            (out / f"{step.index}-{stage.name}.png").write_bytes(image)
    return backend, time.perf_counter() - started


async def _report(fraction: float, **_: object) -> None:
    """Take a report and do nothing."""


def distinct(name: str) -> int:
    """Return how many fingerprints a plan's stages have."""
    plan, config = PLANS[name]
    steps = derive_steps(build_learning_plan_from_dict(plan), PipelineConfig.from_dict(config))
    planned = [plan_stages(step.config_snapshot, FAKE_CAPABILITIES) for step in steps]
    return len({each for p in planned for stage in p.fingerprints(1) for each in stage})


async def again(out: Path, delay: float) -> list[float]:
    """Return the seconds of each stage when everything is there already."""
    plan, config = PLANS["10 upscales"]
    async with open_app(Settings(out=out), backend=Timed(delay)) as app:
        result: LearningExecutionResult = await app.learning.run_learning_plan(plan, config)
    runs = [step.run_result for step in result.step_results if step.run_result]
    stages = [stage for run in runs for stage in run.stage_results]
    assert {str(stage.outcome) for stage in stages} == {"reused"}
    return [stage.duration for stage in stages]


def index(out: Path, pictures: int) -> None:
    """Print how long the index takes over so many pictures' metadata, four in each run."""
    for run in range(pictures // 4):
        outputs = [
            StageOutput(
                stage="txt2img",
                image_id=f"txt2img_{number}",
                path=f"plan-{run:06d}/txt2img_{number}.png",
                width=512,
                height=512,
                sha256="0" * 64,
                settings=FAKE_CAPABILITIES.stages["txt2img"],
                fingerprint=f"{run:060d}{number:04d}",
            )
            for number in range(1, 5)
        ]
        folder = out / f"plan-{run:06d}"
        folder.mkdir(parents=True)
        for output in outputs:
            (out / output.path).touch()
        (folder / "run_metadata.json").write_bytes(json_line({"stage_outputs": outputs}))
    for what in ("made anew from the metadata", "read from its file"):
        found = PictureIndex(out)
        started = time.perf_counter()
        assert next(found.find(f"{0:060d}{1:04d}")).width == 512
        print(f"index of {pictures:,} pictures, {what}: {time.perf_counter() - started:.2f} s")
    started = time.perf_counter()
    for run in range(1000):
        assert next(found.find(f"{run:060d}{2:04d}")).width == 512
    took = (time.perf_counter() - started) * 1e3
    size = (out / INDEX_FILE).stat().st_size / 1e6
    print(f"a look-up {took:.0f} µs; the file {size:.0f} MB")


async def main(delay: float, folder: Path) -> None:
    """Print the table."""
    print(f"{'plan':14}{'way':10}{'calls':>7}{'distinct':>10}{'loads':>7}{'seconds':>9}")
    for number, name in enumerate(PLANS):
        out = folder / str(number)
        ways = {
            "reuse": await ours(name, out / "reuse", delay, reuse=True),
            "without": await ours(name, out / "without", delay, reuse=False),
            "naive": await naive(name, out / "naive", delay),
        }
        for way, (backend, seconds) in ways.items():
            print(
                f"{name:14}{way:10}{len(backend.calls):7}{distinct(name):10}"
                f"{backend.loads:7}{seconds:9.2f}"
            )
    stages = [1e3 * each for each in await again(folder / "0" / "reuse", delay)]
    middle, longest = statistics.median(stages), max(stages)
    print(f"a reused stage: {middle:.2f} ms, the longest {longest:.2f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--pictures", type=int, default=100_000)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        anyio.run(main, flags.delay, Path(temporary))
        index(Path(temporary) / "index", flags.pictures)
