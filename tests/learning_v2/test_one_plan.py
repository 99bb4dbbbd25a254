"""A plan is one plan: edited, moved, damaged, or gone on with somewhere else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from stablenew.app import open_app
from stablenew.backends.base import Capabilities
from stablenew.backends.fake import FAKE_CAPABILITIES, FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_result import LearningExecutionResult
from tests.report.shown import steps_of
from tests.support import config

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [10, 20, 30], "images_per_step": 2}


async def begin(runs: Path, backend: FakeBackend | None = None) -> str:
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backend=backend or FakeBackend()) as app:
        result = await app.learning.run_learning_plan(PLAN, config())
    assert result.success
    return result.plan_id


async def resume(
    runs: Path, plan_id: str, backend: FakeBackend, *, on_this_backend: bool = False
) -> LearningExecutionResult:
    async with open_app(Settings(out=runs), backend=backend) as app:
        return await app.learning.resume_plan(plan_id, on_this_backend=on_this_backend)


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / "plan.json").read_text())
    change(content)
    (folder / "plan.json").write_text(json.dumps(content))


def records(runs: Path) -> list[tuple[str, object]]:
    found = read_records(runs / "learning_records.jsonl")
    return [(record.run_id, record.metadata["variable_value"]) for record in found]


def change_seed(content: dict[str, Any]) -> None:
    content["config"]["txt2img"]["seed"] = 99


def change_prompt(content: dict[str, Any]) -> None:
    content["config"]["txt2img"]["prompt"] = "a dog"


def more_images(content: dict[str, Any]) -> None:
    content["plan"]["images_per_step"] = 3


def fewer_images(content: dict[str, Any]) -> None:
    content["plan"]["images_per_step"] = 1


def other_order(content: dict[str, Any]) -> None:
    content["plan"]["axes"][0]["values"] = [30, 10, 20]


def other_value(content: dict[str, Any]) -> None:
    content["plan"]["axes"][0]["values"] = [10, 25, 30]


def one_more(content: dict[str, Any]) -> None:
    content["plan"]["axes"][0]["values"] = [5, 10, 20, 30]


def one_less(content: dict[str, Any]) -> None:
    content["plan"]["axes"][0]["values"] = [20, 30]


def other_variable(content: dict[str, Any]) -> None:
    content["plan"]["axes"] = [{"path": "txt2img.cfg_scale", "values": [3.0, 7.0, 9.0]}]


def with_a_stage(content: dict[str, Any]) -> None:
    content["config"]["upscale"] = {"enabled": True}


def a_default_set(content: dict[str, Any]) -> None:
    content["defaults"]["txt2img.sampler_name"] = "Euler a"


def a_grid(content: dict[str, Any]) -> None:
    content["plan"]["axes"].append({"path": "txt2img.width", "values": "512,64"})


EDITS: dict[str, tuple[Callable[[dict[str, Any]], None], int, list[str]]] = {
    # what is changed, how many pictures that makes, and the steps in their order
    "seed": (change_seed, 6, ["succeeded"] * 3),
    "prompt": (change_prompt, 6, ["succeeded"] * 3),
    "more images": (more_images, 3, ["succeeded"] * 3),
    "fewer images": (fewer_images, 0, ["reused"] * 3),
    "order": (other_order, 0, ["reused"] * 3),
    "a value": (other_value, 2, ["reused", "succeeded", "reused"]),
    "one value more": (one_more, 2, ["succeeded", "reused", "reused", "reused"]),
    "one value less": (one_less, 0, ["reused"] * 2),
    "variable": (other_variable, 4, ["succeeded", "reused", "succeeded"]),  # 20 steps at cfg 7
    "a stage": (with_a_stage, 6, ["succeeded"] * 3),
    "a default": (a_default_set, 6, ["succeeded"] * 3),
    "a second axis": (a_grid, 6, ["reused"] * 3 + ["succeeded"] * 3),
}


@pytest.mark.parametrize("name", EDITS)
async def test_an_edited_plan_makes_the_difference(runs: Path, name: str) -> None:
    change, made, outcomes = EDITS[name]
    plan_id = await begin(runs)
    before = records(runs)
    edit(runs / plan_id, change)
    backend = FakeBackend()
    result = await resume(runs, plan_id, backend)
    assert [str(step.outcome) for step in result.step_results] == outcomes
    assert len(backend.calls) == made
    after = records(runs)
    assert after[: len(before)] == before
    assert max(Counter(run_id for run_id, _ in after).values()) == 1
    ran = [step for step in result.step_results if step.run_result is not None]
    assert (
        len(after) - len(before)
        == len(ran)
        == (3 if name == "fewer images" else outcomes.count("succeeded"))
    )
    again = FakeBackend()
    result = await resume(runs, plan_id, again)
    assert {str(step.outcome) for step in result.step_results} == {"reused"}
    assert again.calls == []
    assert records(runs) == after


async def test_a_step_shows_the_pictures_of_its_own_value(runs: Path) -> None:
    plan_id = await begin(runs)
    edit(runs / plan_id, other_order)
    async with open_app(Settings(out=runs), backend=FakeBackend()) as app:
        await app.learning.resume_plan(plan_id)
        await app.reports.drained()
    steps = steps_of(runs / plan_id)
    shown = [(s["values"]["txt2img.steps"], s["pictures"][0]["settings"]["steps"]) for s in steps]
    assert shown == [("30", 30), ("10", 10), ("20", 20)]


async def test_a_picture_that_was_swapped_is_made_again(runs: Path) -> None:
    plan_id = await begin(runs)
    first, second = (runs / f"{plan_id}-0000{n}" / "txt2img_1.png" for n in (1, 2))
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    backend = FakeBackend()
    result = await resume(runs, plan_id, backend)
    assert [str(step.outcome) for step in result.step_results] == ["succeeded", "reused", "reused"]
    assert len(backend.calls) == 1
    assert first.read_bytes() == whole
    assert len(records(runs)) == 3


async def test_a_renamed_folder_is_refused_with_its_name(runs: Path) -> None:
    plan_id = await begin(runs)
    (runs / plan_id).rename(runs / "night")
    with pytest.raises(ConfigError, match=rf"the plan {plan_id} in a folder that is named night"):
        await resume(runs, "night", FakeBackend())


async def test_a_folder_without_its_runs_is_refused(runs: Path) -> None:
    plan_id = await begin(runs)
    (runs / "elsewhere").mkdir()
    (runs / plan_id).rename(runs / "elsewhere" / plan_id)
    backend = FakeBackend()
    with pytest.raises(ConfigError, match=rf"not beside it, expected {plan_id}-00001 in"):
        await resume(runs / "elsewhere", plan_id, backend)
    assert backend.calls == []


class Mine(FakeBackend):
    """A backend of somebody's own."""

    name = "mine"

    def __init__(self, **changes: Any) -> None:
        given = {"backend": "mine", "version": "2", **changes}
        super().__init__(capabilities=attrs.evolve(FAKE_CAPABILITIES, **given))


async def test_plan_metadata_and_record_name_the_backend(runs: Path) -> None:
    plan_id = await begin(runs, Mine())
    for path in (f"{plan_id}/plan.json", f"{plan_id}-00001/run_metadata.json"):
        content = json.loads((runs / path).read_text())
        assert (content["backend"], content["backend_version"]) == ("mine", "2")
    record = next(iter(read_records(runs / "learning_records.jsonl")))
    assert (record.backend, record.backend_version) == ("mine", "2")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (FakeBackend(), "began on mine 2, and this is fake 1"),
        (Mine(version="3"), "began on mine 2, and this is mine 3"),
        (Mine(model_hashes={"fake-model": "bbb"}), r"fake-model \[aaa\].*now is \[bbb\]"),
    ],
)
async def test_another_backend_is_refused_with_both_names_unless_it_is_asked_for(
    runs: Path, other: FakeBackend, named: str
) -> None:
    plan_id = await begin(runs, Mine(model_hashes={"fake-model": "aaa"}))
    edit(runs / plan_id, one_more)
    before = (runs / plan_id / "events.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=named):
        await resume(runs, plan_id, other)
    assert other.calls == []
    assert (runs / plan_id / "events.jsonl").read_bytes() == before
    assert (await resume(runs, plan_id, other, on_this_backend=True)).success
    assert len(other.calls) >= 2
    newest = list(read_records(runs / "learning_records.jsonl"))[-1]
    now = await other.capabilities()
    assert newest.metadata["resumed_on"] == f"{now.backend} {now.version}"
    assert newest.metadata["began_on"] == "mine 2"


def with_default(name: str, value: object) -> Capabilities:
    stages = {stage: dict(settings) for stage, settings in FAKE_CAPABILITIES.stages.items()}
    stages["txt2img"][name] = value  # type: ignore[assignment]
    return attrs.evolve(FAKE_CAPABILITIES, stages=stages)


@pytest.mark.parametrize(
    ("name", "value"), [("model", "other-model"), ("sampler_name", "Euler a"), ("cfg_scale", 3.0)]
)
async def test_what_the_backend_chose_in_the_beginning_holds_to_the_end(
    runs: Path, name: str, value: object
) -> None:
    plan_id = await begin(runs)
    edit(runs / plan_id, one_more)
    backend = FakeBackend(capabilities=with_default(name, value))
    assert (await resume(runs, plan_id, backend)).success
    assert {call.settings[name] for call in backend.calls} == {
        FAKE_CAPABILITIES.stages["txt2img"][name]
    }
    assert len(backend.calls) == 2


async def test_a_model_that_is_gone_is_missed(runs: Path) -> None:
    plan_id = await begin(runs)
    edit(runs / plan_id, one_more)
    gone = attrs.evolve(with_default("model", "other-model"), models=("other-model",))
    backend = FakeBackend(capabilities=gone)
    with pytest.raises(ConfigError, match="'fake-model', did you mean other-model"):
        await resume(runs, plan_id, backend)
    assert backend.calls == []


@pytest.mark.parametrize("bad", [{"txt2img.steps": "many"}, ["txt2img"]])
async def test_defaults_that_are_none_are_one_line(runs: Path, bad: object) -> None:
    plan_id = await begin(runs)
    edit(runs / plan_id, lambda content: content.update(defaults=bad))
    with pytest.raises(ConfigError, match=r"plan\.json: "):
        await resume(runs, plan_id, FakeBackend())
