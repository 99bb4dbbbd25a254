"""Values as people's programs have them: numpy's numbers, and what no file of ours could hold."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablenew import FakeBackend, LearningPlan, Settings, open_app, record_feedback
from stablenew._convert import as_python
from stablenew._metadata import as_metadata
from stablenew.backends.base import Capabilities, Picture, ReportProgress, StageRequest
from stablenew.backends.fake import FAKE_CAPABILITIES
from stablenew.config.overrides import override
from stablenew.config.pipeline_config import PipelineConfig, Txt2ImgConfig
from stablenew.errors import ConfigError
from stablenew.learning.feedback_reader import read_feedback
from stablenew.run import main
from tests.support import config, lines

np: Any = numpy  # what comes from there has no type that a signature of ours names
OWN = (str, int, float, bool, type(None))


def types(values: object) -> set[type]:
    """Return the types of every value in there."""
    if isinstance(values, Mapping):
        return types(list(values.values()))
    if isinstance(values, list | tuple):
        return {kind for value in values for kind in types(value)}
    return {type(values)}


async def test_numpys_numbers_run_where_pythons_do(runs: Path) -> None:
    settings = Settings(out=runs, learning_enabled=True, stall_timeout=np.float64(60))
    plan = {
        "target_variable": "txt2img.cfg_scale",
        "sweep_values": np.linspace(1, 9, 3),
        "y_variable": "txt2img.steps",
        "y_values": [np.int64(4), np.int32(8)],
        "images_per_step": np.int64(2),
        "metadata": {"losses": np.array([0.5, 0.25]), "ok": np.bool_(True)},
    }
    base = {
        "txt2img": {
            "prompt": np.str_("a cat"),
            "seed": np.int64(1),
            "subseed_strength": np.float32(0),
        }
    }
    async with open_app(settings, backend=FakeBackend()) as app:
        result = await app.learning.run_learning_plan(
            plan,
            base,
            {"best": np.float32(0.5)},
            max_steps=np.int64(5),
        )
        single = await app.pipeline.run_pipeline(
            config(),
            images=np.int16(2),
            metadata={"n": np.uint8(3)},
        )
    assert result.summary["succeeded"] == 5
    assert [step.step.value for step in result.step_results] == [1, 5, 9, 1, 5]
    assert types([result.plan.sweep_values, result.plan.y_values, result.plan.metadata]) <= {*OWN}
    records = [json.loads(line) for line in lines(settings.records_path)]
    assert [record["metadata"]["variable_value"] for record in records[:5]] == [1, 5, 9, 1, 5]
    assert (
        records[0]["metadata"] | {"losses": [0.5, 0.25], "ok": True, "best": 0.5}
        == records[0]["metadata"]
    )
    assert records[5]["metadata"]["n"] == 3
    assert len(single.outputs) == 2
    rated = records[0]["outputs"][0]["image_id"]
    await record_feedback(records[0]["run_id"], rated, np.int64(4), base_dir=runs)
    assert read_feedback(runs).ratings[records[0]["run_id"], rated].rating == 4


def test_a_config_has_pythons_own_values_however_it_is_made() -> None:
    made = Txt2ImgConfig(cfg_scale=np.float64(7), steps=np.int64(8), prompt=np.str_("a"))
    read = PipelineConfig.from_dict(
        {"txt2img": {"cfg_scale": np.array(7.0), "steps": np.int8(8), "prompt": "a"}}
    )
    assert made == read.txt2img
    derived = override(read, "txt2img.enable_hr", np.bool_(True))
    for each in (made, read.txt2img, derived.txt2img):
        assert types(attrs.asdict(each)) <= {*OWN}


def test_a_plan_has_pythons_own_values_however_it_is_made() -> None:
    plan = LearningPlan(
        target_variable="cfg_scale",
        sweep_values=np.arange(1, 4),
        bounds=np.array([1, 12]),
        max_pictures=np.int64(6),
    )
    assert (plan.sweep_values[:3], plan.max_pictures) == ((1, 2, 3), 6)
    assert types([plan.sweep_values[:3], plan.max_pictures, plan.cells]) == {int}
    assert LearningPlan(target_variable="steps", sweep_values=np.int64(4)).sweep_values == (4,)


@pytest.mark.parametrize("bounds", [5, (1,), (1, 2, 3), ("a", "b"), (1, np.inf), (True, 2)])
def test_bounds_are_two_numbers(bounds: object) -> None:
    with pytest.raises(ConfigError, match="expected the lowest and the highest number"):
        LearningPlan(target_variable="cfg_scale", sweep_values=[1], bounds=bounds)


@pytest.mark.parametrize(
    "value", [np.nan, np.array([1, 2]), np.longdouble(7), np.bool_(True), np.datetime64("2026")]
)
def test_what_is_no_number_is_still_none(value: object) -> None:
    with pytest.raises(ConfigError, match="expected a"):
        PipelineConfig.from_dict({"txt2img": {"prompt": "a", "cfg_scale": value}})


class Mood(enum.StrEnum):
    GOOD = "good"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), json_values))
def test_tags_that_json_has_are_kept_as_they_are(tags: dict[str, object]) -> None:
    assert dict(as_metadata(tags)) == tags
    assert json.loads(json.dumps(dict(as_metadata(tags)))) == tags


def test_tags_of_other_kinds_become_what_json_has() -> None:
    tags = {"day": date(2026, 11, 25), "at": Path("x"), "mood": Mood.GOOD, "both": (1, np.int64(2))}
    found = as_metadata(tags)
    assert found == {"day": "2026-11-25", "at": "x", "mood": "good", "both": [1, 2]}
    assert type(as_python(found["mood"])) is str


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"best_loss": float("inf")}, "metadata.best_loss: given inf, expected a finite number"),
        ({"a": {"b": [1, np.nan]}}, "metadata.a.b[1]: given nan, expected a finite number"),
        ({"a": {1, 2}}, "metadata.a: given {1, 2}, expected text, a number, true or false"),
        ({"a": b"x"}, "metadata.a: given b'x', expected text"),
        ({"a": 1j}, "metadata.a: given 1j, expected text"),
        ({5: 1}, "metadata: given the key 5, expected text"),
        ({"a": 10**5000}, "metadata.a: given a number of 16610 bits"),
        ({"a": ENDLESS}, "metadata: nested too deeply"),
        ("x", "metadata: given 'x', expected a table"),
    ],
)
async def test_tags_that_no_record_can_hold_are_refused_before_the_first_picture(
    runs: Path, tags: Mapping[str, object], expected: str
) -> None:
    plan = {"target_variable": "txt2img.steps", "sweep_values": [4]}
    async with open_app(Settings(out=runs, learning_enabled=True), backend=FakeBackend()) as app:
        for refused in (
            app.learning.run_learning_plan({**plan, "metadata": tags}, config()),
            app.learning.run_learning_plan(plan, config(), tags),
            app.pipeline.run_pipeline(config(), metadata=tags),
        ):
            with pytest.raises(ConfigError) as caught:
                await refused
            assert expected in str(caught.value)
    assert not runs.exists() or list(runs.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_plan_file_with_such_a_tag_is_wrong_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(
        'prompt = "cat"\nbackend = "fake"\n[learning]\nenabled = true\nsweep_values = [1, 2]\n'
        'target_variable = "txt2img.cfg_scale"\n[learning.metadata]\nbest_loss = inf\n'
    )
    assert main(["p.toml", *more]) == 2
    said = "p.toml: learning.metadata.best_loss: given inf, expected a finite number\n"
    assert capsys.readouterr().err == f"stablenew: {said}"
    assert not Path("runs").exists()


class Odd(FakeBackend):
    """A backend that says what it used in numpy's numbers, one of them no number."""

    async def capabilities(self) -> Capabilities:
        settings = {**FAKE_CAPABILITIES.stages["txt2img"], "cfg_scale": np.float64(7)}
        return attrs.evolve(FAKE_CAPABILITIES, stages={"txt2img": settings})

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> list[Picture]:
        (picture,) = await super().run_stage(request, report)
        settings = {**picture.settings, "cfg_scale": np.float32(7), "eta": float("nan")}
        return [attrs.evolve(picture, settings=settings, width=np.int64(picture.width))]


async def test_what_a_backend_says_it_used_costs_no_record(runs: Path) -> None:
    async with open_app(Settings(out=runs, learning_enabled=True), backend=Odd()) as app:
        assert (await app.pipeline.run_pipeline(config())).success
    (record,) = [json.loads(line) for line in lines(runs / "learning_records.jsonl")]
    assert (record["outputs"][0]["cfg_scale"], record["outputs"][0]["eta"]) == (7, "nan")


def test_lost_records_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/.learning_records.jsonl.lock").mkdir(parents=True)
    words = ["--backend", "fake", "--prompt", "a", "--sweep", "txt2img.steps=4,5"]
    assert main([*words, "--learn"]) == 1
    said = capsys.readouterr()
    assert "2 steps: 2 succeeded" in said.out
    assert "records lost: 2" in said.err
