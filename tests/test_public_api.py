from __future__ import annotations

import ast
import importlib.util
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import assert_type

import pytest

import stablenew
from stablenew import Settings

PUBLIC = [
    "ADetailerConfig",
    "AdviceGiven",
    "App",
    "Axis",
    "Backend",
    "BackendAwaited",
    "BackendError",
    "BackendLost",
    "BackendProtocolError",
    "BackendRejectedError",
    "BackendReturned",
    "BackendUnavailableError",
    "Behaviour",
    "BusClosedError",
    "BusError",
    "Capabilities",
    "Clock",
    "Choice",
    "ConfigError",
    "Draining",
    "EmbeddedBackend",
    "Ended",
    "Event",
    "EventBus",
    "EventStream",
    "Failure",
    "FakeBackend",
    "Feedback",
    "ImageStore",
    "Img2ImgConfig",
    "InterruptReceipt",
    "Interruption",
    "JointAdvice",
    "LearningExecutionContext",
    "LearningExecutionController",
    "LearningExecutionResult",
    "LearningExecutionRunner",
    "LearningPlan",
    "LearningRecord",
    "LearningRecordWriter",
    "LearningRecorder",
    "LearningRunResult",
    "LearningRunStep",
    "LeakedCancelError",
    "LookingAhead",
    "NodeReturned",
    "NodeSetAside",
    "NodesAwaited",
    "Observations",
    "Outcome",
    "Overflow",
    "OverrideError",
    "Picture",
    "PictureSaved",
    "PipelineConfig",
    "PipelineController",
    "PipelineRunResult",
    "PipelineRunner",
    "PlanEvent",
    "PlanExtended",
    "PlanFinished",
    "PlanPaused",
    "PlanResumed",
    "PlanStarted",
    "PlannedStage",
    "PreviewMade",
    "Prompt",
    "Rate",
    "RateAnswer",
    "Rating",
    "RatingsAwaited",
    "Recommendation",
    "RecordError",
    "ReentrantPublishError",
    "ReportProgress",
    "RunEvent",
    "RunFinished",
    "RunRequest",
    "RunStarted",
    "Settings",
    "Shown",
    "StableNewError",
    "StageEvent",
    "StageFinished",
    "StageOutput",
    "StagePlan",
    "StageProgress",
    "StageRequest",
    "StageResult",
    "StageSequencer",
    "StageStarted",
    "StageTimeoutError",
    "StartPicture",
    "State",
    "StepEvent",
    "StepFinished",
    "StepMoved",
    "StepStarted",
    "Subscription",
    "ThreadHost",
    "Txt2ImgConfig",
    "UpscaleConfig",
    "ValueEstimate",
    "WebUIBackend",
    "WorkflowConfig",
    "advise",
    "axis_in_step",
    "axis_of_images",
    "axis_of_presets",
    "axis_of_prompts",
    "axis_of_values",
    "build_learning_dataset",
    "build_learning_plan_from_config",
    "build_learning_plan_from_dict",
    "build_learning_record",
    "encode_event",
    "export_csv",
    "export_folder",
    "follow",
    "gather_observations",
    "host_app",
    "iter_dataset",
    "look_at_pictures",
    "open_app",
    "open_gallery",
    "override",
    "override_all",
    "package_feedback",
    "parse_sweep",
    "plan_stages",
    "prefer",
    "prepare_learning_run",
    "read_feedback",
    "read_prompt_pack",
    "read_records",
    "read_wildcards",
    "recommend",
    "recommend_jointly",
    "record_feedback",
    "with_variants",
    "withdraw_feedback",
]


def test_the_public_names_are_these_and_no_others() -> None:
    everything: dict[str, object] = {}
    exec("from stablenew import *", everything)
    assert list(everything)[1:] == sorted(PUBLIC)  # after exec's own `__builtins__`


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(stablenew, name)
    assert value.__name__ == name
    assert value.__doc__


def test_the_program_has_the_names_that_checkers_read() -> None:
    """Where Python compiles an import to something else one day, this fails."""
    tree = ast.parse(Path(stablenew.__file__).read_text())
    written = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stablenew.")
        for alias in node.names
    }
    assert written == stablenew._homes()


def test_names_need_no_source(tmp_path: Path) -> None:
    source = Path(stablenew.__file__)
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    py_compile.compile(str(source), str(frozen / "__init__.pyc"))
    spec = importlib.util.spec_from_file_location("frozen", frozen / "__init__.pyc")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Settings is stablenew.Settings


def test_checkers_know_each_name_and_refuse_others() -> None:
    """What this holds is held by mypy, which checks the tests."""
    assert_type(stablenew.Settings(), Settings)
    with pytest.raises(AttributeError, match="NoSuchThing"):
        stablenew.NoSuchThing  # type: ignore[attr-defined]  # noqa: B018


def test_names_are_found_before_they_are_loaded() -> None:
    assert set(PUBLIC) <= set(dir(stablenew))
    code = "import stablenew, sys; assert 'stablenew.app' not in sys.modules; stablenew.open_app"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    from stablenew import errors

    named = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert named <= set(PUBLIC)
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in named)
