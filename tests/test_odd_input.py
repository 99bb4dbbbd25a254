"""What leaves a public function is a result or an error of ours, whatever it was given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

import anyio
import numpy as np
import pytest

import stablenew
from stablenew import (
    App,
    BackendError,
    Event,
    FakeBackend,
    PipelineConfig,
    Settings,
    StableNewError,
    open_app,
)
from stablenew.backends.base import Capabilities
from stablenew.backends.fake import FAKE_CAPABILITIES

ODD: list[Any] = [
    *(None, 5, -1, 1.5, True, float("nan"), "", "x", "a\0b", "../x", "\ud800", b"x"),
    *([], [1], [None], {}, {"a": 1}, {1: 2}, (1, 2), ("a", "b", "c"), {1}),
    *(object(), object, lambda: 1, 10**400, "a" * 5000, "\n[b]"),
    *(Path("below/a/file"), np.array([1, 2]), np.array(3), iter([1])),
]
PLAN: dict[str, Any] = {"target_variable": "txt2img.steps", "sweep_values": [1]}
CONFIG: dict[str, Any] = {"txt2img": {"prompt": "a"}}
VARIED: dict[str, Any] = {"txt2img": {"prompt": "a {b|c}"}}
ADAPTIVE = {**PLAN, "sweep_values": [1, 5, 9], "bounds": [1, 9], "max_pictures": 3}


async def _three(_: object) -> int:
    return 3


def _written(path: Path) -> Path:
    path.write_text("a cat\n")
    return path


FUNCTIONS: Mapping[str, Callable[[Any, Path], object]] = {
    "advice of a folder": lambda odd, _: stablenew.recommend(odd),
    "observations": lambda odd, _: stablenew.gather_observations(odd),
    "observations of a plan": lambda odd, out: stablenew.gather_observations(out, plan_id=odd),
    "records": lambda odd, _: stablenew.read_records(odd),
    "feedback": lambda odd, _: stablenew.read_feedback(odd),
    "gallery": lambda odd, _: stablenew.open_gallery(odd),
    "rows": lambda odd, _: stablenew.iter_dataset(odd),
    "dataset": lambda odd, _: stablenew.build_learning_dataset(odd),
    "table": lambda odd, out: stablenew.export_csv(odd, out / "a.csv"),
    "table's file": lambda odd, out: stablenew.export_csv(out, odd),
    "folder": lambda odd, out: stablenew.export_folder(odd, out / "folder"),
    "package": lambda odd, out: stablenew.package_feedback(odd, base_dir=out),
    "rating of a run": lambda odd, out: stablenew.record_feedback(odd, "a_1", 3, base_dir=out),
    "rating of a picture": lambda odd, out: stablenew.record_feedback("r", odd, 3, base_dir=out),
    "rating": lambda odd, out: stablenew.record_feedback("r", "a_1", odd, base_dir=out),
    "notes": lambda odd, out: stablenew.record_feedback("r", "a_1", 3, odd, base_dir=out),
    "tags": lambda odd, out: stablenew.record_feedback("r", "a_1", 3, tags=odd, base_dir=out),
    "subscores": lambda odd, out: stablenew.record_feedback(
        "r", "a_1", 3, subscores=odd, base_dir=out
    ),
    "folder of a rating": lambda odd, _: stablenew.record_feedback("r", "a_1", 3, base_dir=odd),
    "withdrawal": lambda odd, out: stablenew.withdraw_feedback(odd, "a_1", base_dir=out),
    "choice": lambda odd, out: stablenew.prefer(odd, ("r", "a_1"), base_dir=out),
    "plan": lambda odd, _: stablenew.build_learning_plan_from_dict(odd),
    "plan of a config": lambda odd, _: stablenew.build_learning_plan_from_config(odd),
    "ready plan": lambda odd, _: stablenew.prepare_learning_run(odd, CONFIG),
    "ready config": lambda odd, _: stablenew.prepare_learning_run(PLAN, odd),
    "sweep": lambda odd, _: stablenew.parse_sweep(odd),
    "pack": lambda odd, _: stablenew.read_prompt_pack(odd),
    "pack's format": lambda odd, out: stablenew.read_prompt_pack(_written(out / "a.txt"), odd),
    "wildcards": lambda odd, _: stablenew.read_wildcards(odd),
    "plan with variants": lambda odd, _: stablenew.with_variants(odd, CONFIG),
    "config with variants": lambda odd, _: stablenew.with_variants(None, odd),
    "variants": lambda odd, _: stablenew.with_variants(None, {"txt2img": {"prompt": "{a|b}"}}, odd),
    "path": lambda odd, _: stablenew.override(PipelineConfig(), odd, 1),
    "value": lambda odd, _: stablenew.override(PipelineConfig(), "txt2img.steps", odd),
    "values": lambda odd, _: stablenew.override_all(PipelineConfig(), odd),
    "config": lambda odd, _: PipelineConfig.from_dict(odd),
    "axis": lambda odd, _: stablenew.axis_of_values(odd, [1]),
    "values of an axis": lambda odd, _: stablenew.axis_of_values("txt2img.steps", odd),
    "axis in step": lambda odd, _: stablenew.axis_in_step(odd),
    "presets": lambda odd, _: stablenew.axis_of_presets(odd),
    "prompts": lambda odd, _: stablenew.axis_of_prompts(odd),
    "prompt": lambda odd, _: stablenew.axis_of_prompts([odd]),
    "prompt and another": lambda odd, _: stablenew.axis_of_prompts([(odd, odd)]),
    "paths set elsewhere": lambda odd, _: stablenew.axis_of_prompts([], without=odd),
    "pictures": lambda odd, _: stablenew.axis_of_images(odd),
    "picture": lambda odd, _: stablenew.axis_of_images([odd]),
    "pictures that are looked at": lambda odd, _: stablenew.look_at_pictures(odd),
    "picture that is looked at": lambda odd, _: stablenew.look_at_pictures(iter([odd])),
    "start picture": lambda odd, _: PipelineConfig.from_dict({"img2img": {"image": odd}}),
    "plan of variants": lambda odd, _: stablenew.with_variants(odd, VARIED),
    "config of variants": lambda odd, _: stablenew.with_variants(None, odd),
    "number of variants": lambda odd, _: stablenew.with_variants(None, VARIED, odd),
    "wildcards of variants": lambda odd, _: stablenew.with_variants(None, VARIED, wildcards=odd),
    "seed of variants": lambda odd, _: stablenew.with_variants(None, VARIED, 1, seed=odd),
    "images of variants": lambda odd, _: stablenew.with_variants(None, VARIED, images_per_step=odd),
    "advice": lambda odd, _: stablenew.advise(odd),
    "advice of a prompt": lambda odd, out: stablenew.recommend(out, prompt=odd),
    "runs of feedback": lambda odd, out: stablenew.read_feedback(out, run_ids=odd),
    "record": lambda odd, _: stablenew.build_learning_record(odd),
    "line of an event": lambda odd, _: stablenew.encode_event(odd),
    "stages": lambda odd, _: stablenew.plan_stages(odd, FAKE_CAPABILITIES),
    "stages of a backend": lambda odd, _: stablenew.plan_stages(PipelineConfig(), odd),
    "config of a path": lambda odd, _: stablenew.override(odd, "txt2img.steps", 1),
    "keys": lambda odd, _: stablenew.override_all(PipelineConfig(), {odd: 1}),
    "followed file": lambda odd, _: stablenew.follow(odd),
    "followed from": lambda odd, out: stablenew.follow(out / "a.jsonl", odd),
    "records' file": lambda odd, _: stablenew.LearningRecordWriter(odd),
    "metadata": lambda odd, _: stablenew.prepare_learning_run(PLAN, CONFIG, metadata=odd),
    "settings of a stage": lambda odd, _: Capabilities(backend="b", stages={"txt2img": odd}),
    "choices": lambda odd, _: stablenew.Axis("a", odd),
    "overrides": lambda odd, _: stablenew.Choice("a", odd),
}
KEYS: tuple[str, ...] = (
    "target_variable",
    "sweep_values",
    "images_per_step",
    "metadata",
    "mode",
    "y_variable",
)
KEYS += ("bounds", "max_pictures", "axes", "sample", "skip", "order")
SETTINGS = ("out", "backend", "url", "auth", "learning_enabled", "step_timeout", "reuse")


async def ends(call: Callable[[], object]) -> None:
    """See that a call ends in a result or an error of ours."""
    try:
        found = call()
        if inspect.isawaitable(found):
            await found
        elif inspect.isgenerator(found):
            list(islice(found, 3))
    except StableNewError:
        return


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_no_function_lets_another_error_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for odd in [each for each in ODD if name != "keys" or isinstance(each, Hashable)]:
        await ends(lambda odd=odd: FUNCTIONS[name](odd, tmp_path))  # type: ignore[misc]


@pytest.mark.parametrize("key", KEYS)
async def test_a_plan_of_odd_parts_is_a_plan_or_an_error(key: str) -> None:
    for odd in ODD:
        given = {**PLAN, key: odd}
        await ends(lambda given=given: stablenew.LearningPlan(**given))  # type: ignore[misc]
        await ends(lambda given=given: stablenew.build_learning_plan_from_dict(given))  # type: ignore[misc]


@pytest.mark.parametrize("name", SETTINGS)
async def test_settings_of_odd_parts_are_settings_or_an_error(name: str) -> None:
    for odd in ODD:
        await ends(lambda odd=odd: Settings(**{name: odd}))  # type: ignore[misc]


async def _calls(app: App, odd: Any) -> None:
    learning, pipeline = app.learning, app.pipeline
    await ends(lambda: pipeline.run_pipeline(odd))
    await ends(lambda: pipeline.run_pipeline(CONFIG, images=odd))
    await ends(lambda: pipeline.run_pipeline(CONFIG, metadata=odd))
    await ends(lambda: learning.run_learning_plan(odd, CONFIG))
    await ends(lambda: learning.run_learning_plan(PLAN, odd))
    await ends(lambda: learning.run_learning_plan(PLAN, CONFIG, odd))
    await ends(lambda: learning.resume_plan(odd))
    for name in ("max_steps", "max_seconds", "plan_id"):
        await ends(lambda name=name: learning.run_learning_plan(PLAN, CONFIG, **{name: odd}))  # type: ignore[misc]
    for name in ("only_failed", "max_seconds", "on_this_backend"):
        await ends(lambda name=name: learning.resume_plan("known", **{name: odd}))  # type: ignore[misc]
    await ends(lambda: learning.run_learning_plan(ADAPTIVE, CONFIG, max_steps=odd, rate=_three))
    if odd is not None:  # which waits for ratings from elsewhere
        await ends(lambda: learning.run_learning_plan(ADAPTIVE, CONFIG, rate=odd))


async def test_no_controller_lets_another_error_out(runs: Path) -> None:
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="known")
        for odd in ODD:
            await _calls(app, odd)


@pytest.mark.parametrize("name", ["kind", "handler", "mailbox", "overflow", "event", "stream"])
async def test_an_odd_subscriber_is_refused_and_harms_no_publisher(runs: Path, name: str) -> None:
    async def take(_: Event) -> None: ...

    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        for odd in [each for each in ODD if name != "mailbox" or not isinstance(each, int)]:
            given = {"kind": Event, "handler": take, name: odd}
            kind, handler = given.pop("kind"), given.pop("handler")
            if name == "handler" and callable(odd):
                continue
            with pytest.raises(StableNewError):
                if name == "event":
                    await app.bus.publish(odd)
                elif name == "stream":
                    app.bus.stream(odd)
                else:
                    app.bus.subscribe(kind, handler, **given)
        result = await app.pipeline.run_pipeline(CONFIG)
    assert result.success


class Odd(FakeBackend):
    """Says something odd when it is asked what it can do."""

    def __init__(self, said: Any) -> None:
        super().__init__()
        self._said = said

    async def capabilities(self) -> Capabilities:
        said: Capabilities = self._said
        return said


async def test_capabilities_that_are_none_are_an_error_of_the_backend(runs: Path) -> None:
    for odd in ODD:
        async with open_app(Settings(out=runs), backend=Odd(odd)) as app:
            with pytest.raises(stablenew.BackendProtocolError, match="no Capabilities"):
                await app.learning.run_learning_plan(PLAN, CONFIG)
    assert not runs.exists()


@pytest.mark.parametrize("odd", [5, "x", [], {}])
async def test_an_app_of_odd_parts_is_refused(runs: Path, odd: Any) -> None:
    with pytest.raises(stablenew.ConfigError, match="settings: given"):
        async with open_app(odd):
            pass
    with pytest.raises(stablenew.ConfigError, match="backend: given"):
        async with open_app(Settings(out=runs), backend=odd):
            pass
    with pytest.raises(stablenew.ConfigError, match="bus: given"):
        async with open_app(Settings(out=runs), bus=odd):
            pass


class Broken(FakeBackend):
    """Raises an error of its own in one of its methods."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def _break(self, where: str) -> None:
        if self._where == where:
            raise ZeroDivisionError("a bug")

    async def __aenter__(self) -> Self:
        self._break("entering the backend")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._break("leaving the backend")

    async def capabilities(self) -> Capabilities:
        self._break("the backend's capabilities")
        return await super().capabilities()


@pytest.mark.parametrize(
    "where", ["entering the backend", "leaving the backend", "the backend's capabilities"]
)
async def test_what_a_backend_raises_is_an_error_of_the_backend(runs: Path, where: str) -> None:
    with pytest.raises(BackendError, match=f"{where}: ZeroDivisionError: a bug"):
        async with open_app(Settings(out=runs), backend=Broken(where)) as app:
            await app.pipeline.run_pipeline(CONFIG)


class Grouped(FakeBackend):
    """Has tasks of its own, whose group wraps and raises again what it is left with."""

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *left_with: Any) -> None:
        await self._tasks.__aexit__(*left_with)


@pytest.mark.parametrize("backend", [FakeBackend, Grouped])
async def test_what_is_raised_inside_an_app_leaves_it_as_it_is(
    runs: Path, backend: type[FakeBackend]
) -> None:
    own = FileNotFoundError("the host's own")
    for error in (own, ExceptionGroup("of the host's tasks", [own])):
        with pytest.raises(type(error)) as raised:
            async with open_app(Settings(out=runs), backend=backend()):
                raise error
        assert raised.value is own or raised.value.args[1] == [own]
    with anyio.move_on_after(0) as scope:
        async with open_app(Settings(out=runs), backend=backend()):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/none"])
async def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("x")
    settings = Settings(out=tmp_path / where, learning_enabled=True)
    async with open_app(settings, backend=FakeBackend()) as app:
        for start in (
            lambda: app.learning.run_learning_plan(PLAN, CONFIG),
            lambda: app.pipeline.run_pipeline(CONFIG),
        ):
            with pytest.raises(StableNewError, match="expected a folder to write to"):
                await start()
