"""StableNew finds the Stable Diffusion settings that make good pictures.

Names are loaded when they are first used, so that `import stablenew` stays quick.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module

TYPE_CHECKING = False  # `typing` takes milliseconds in which the program takes no signal yet
if TYPE_CHECKING:
    from stablenew._clock import Clock as Clock
    from stablenew.advice.joint_advice import JointAdvice as JointAdvice
    from stablenew.advice.observations import Observations as Observations
    from stablenew.advice.observations import gather_observations as gather_observations
    from stablenew.advice.recommend_jointly import recommend_jointly as recommend_jointly
    from stablenew.advice.recommendation import Recommendation as Recommendation
    from stablenew.advice.recommendation import ValueEstimate as ValueEstimate
    from stablenew.advice.recommendation import advise as advise
    from stablenew.advice.recommendation import recommend as recommend
    from stablenew.app import App as App
    from stablenew.app import host_app as host_app
    from stablenew.app import open_app as open_app
    from stablenew.backends.base import Backend as Backend
    from stablenew.backends.base import Capabilities as Capabilities
    from stablenew.backends.base import Draining as Draining
    from stablenew.backends.base import InterruptReceipt as InterruptReceipt
    from stablenew.backends.base import LookingAhead as LookingAhead
    from stablenew.backends.base import Picture as Picture
    from stablenew.backends.base import ReportProgress as ReportProgress
    from stablenew.backends.base import StageRequest as StageRequest
    from stablenew.backends.embedded.backend import EmbeddedBackend as EmbeddedBackend
    from stablenew.backends.fake import Behaviour as Behaviour
    from stablenew.backends.fake import FakeBackend as FakeBackend
    from stablenew.backends.webui.backend import WebUIBackend as WebUIBackend
    from stablenew.config.overrides import override as override
    from stablenew.config.overrides import override_all as override_all
    from stablenew.config.pipeline_config import ADetailerConfig as ADetailerConfig
    from stablenew.config.pipeline_config import Img2ImgConfig as Img2ImgConfig
    from stablenew.config.pipeline_config import PipelineConfig as PipelineConfig
    from stablenew.config.pipeline_config import Txt2ImgConfig as Txt2ImgConfig
    from stablenew.config.pipeline_config import UpscaleConfig as UpscaleConfig
    from stablenew.config.prompt import Prompt as Prompt
    from stablenew.config.prompt_pack import read_prompt_pack as read_prompt_pack
    from stablenew.config.settings import Settings as Settings
    from stablenew.config.sweep import parse_sweep as parse_sweep
    from stablenew.config.wildcards import read_wildcards as read_wildcards
    from stablenew.config.workflow_config import WorkflowConfig as WorkflowConfig
    from stablenew.controller.activity import State as State
    from stablenew.controller.interruption import Interruption as Interruption
    from stablenew.controller.learning_execution_controller import (
        LearningExecutionController as LearningExecutionController,
    )
    from stablenew.controller.pipeline_controller import PipelineController as PipelineController
    from stablenew.errors import BackendError as BackendError
    from stablenew.errors import BackendProtocolError as BackendProtocolError
    from stablenew.errors import BackendRejectedError as BackendRejectedError
    from stablenew.errors import BackendUnavailableError as BackendUnavailableError
    from stablenew.errors import BusClosedError as BusClosedError
    from stablenew.errors import BusError as BusError
    from stablenew.errors import ConfigError as ConfigError
    from stablenew.errors import LeakedCancelError as LeakedCancelError
    from stablenew.errors import OverrideError as OverrideError
    from stablenew.errors import RecordError as RecordError
    from stablenew.errors import ReentrantPublishError as ReentrantPublishError
    from stablenew.errors import StableNewError as StableNewError
    from stablenew.errors import StageTimeoutError as StageTimeoutError
    from stablenew.events.bus import EventBus as EventBus
    from stablenew.events.event import Event as Event
    from stablenew.events.event_log import encode_event as encode_event
    from stablenew.events.event_stream import EventStream as EventStream
    from stablenew.events.mailbox import Overflow as Overflow
    from stablenew.events.subscription import Subscription as Subscription
    from stablenew.hosts import Ended as Ended
    from stablenew.hosts import ThreadHost as ThreadHost
    from stablenew.learning.axis import Axis as Axis
    from stablenew.learning.axis import Choice as Choice
    from stablenew.learning.axis import axis_in_step as axis_in_step
    from stablenew.learning.axis import axis_of_images as axis_of_images
    from stablenew.learning.axis import axis_of_presets as axis_of_presets
    from stablenew.learning.axis import axis_of_prompts as axis_of_prompts
    from stablenew.learning.axis import axis_of_values as axis_of_values
    from stablenew.learning.dataset_builder import build_learning_dataset as build_learning_dataset
    from stablenew.learning.dataset_builder import iter_dataset as iter_dataset
    from stablenew.learning.dataset_export import export_csv as export_csv
    from stablenew.learning.dataset_export import export_folder as export_folder
    from stablenew.learning.execution_context import (
        LearningExecutionContext as LearningExecutionContext,
    )
    from stablenew.learning.feedback_manager import package_feedback as package_feedback
    from stablenew.learning.feedback_manager import prefer as prefer
    from stablenew.learning.feedback_manager import record_feedback as record_feedback
    from stablenew.learning.feedback_manager import withdraw_feedback as withdraw_feedback
    from stablenew.learning.feedback_reader import Feedback as Feedback
    from stablenew.learning.feedback_reader import Rating as Rating
    from stablenew.learning.feedback_reader import read_feedback as read_feedback
    from stablenew.learning.gallery import Shown as Shown
    from stablenew.learning.gallery import open_gallery as open_gallery
    from stablenew.learning.learning_adapter import (
        build_learning_plan_from_config as build_learning_plan_from_config,
    )
    from stablenew.learning.learning_adapter import (
        build_learning_plan_from_dict as build_learning_plan_from_dict,
    )
    from stablenew.learning.learning_adapter import prepare_learning_run as prepare_learning_run
    from stablenew.learning.learning_events import AdviceGiven as AdviceGiven
    from stablenew.learning.learning_events import NodeReturned as NodeReturned
    from stablenew.learning.learning_events import NodesAwaited as NodesAwaited
    from stablenew.learning.learning_events import NodeSetAside as NodeSetAside
    from stablenew.learning.learning_events import PlanEvent as PlanEvent
    from stablenew.learning.learning_events import PlanExtended as PlanExtended
    from stablenew.learning.learning_events import PlanFinished as PlanFinished
    from stablenew.learning.learning_events import PlanPaused as PlanPaused
    from stablenew.learning.learning_events import PlanResumed as PlanResumed
    from stablenew.learning.learning_events import PlanStarted as PlanStarted
    from stablenew.learning.learning_events import RatingsAwaited as RatingsAwaited
    from stablenew.learning.learning_events import StepEvent as StepEvent
    from stablenew.learning.learning_events import StepFinished as StepFinished
    from stablenew.learning.learning_events import StepMoved as StepMoved
    from stablenew.learning.learning_events import StepStarted as StepStarted
    from stablenew.learning.learning_execution import (
        LearningExecutionRunner as LearningExecutionRunner,
    )
    from stablenew.learning.learning_execution import Rate as Rate
    from stablenew.learning.learning_execution import RateAnswer as RateAnswer
    from stablenew.learning.learning_plan import LearningPlan as LearningPlan
    from stablenew.learning.learning_plan import LearningRunStep as LearningRunStep
    from stablenew.learning.learning_record import LearningRecord as LearningRecord
    from stablenew.learning.learning_record_builder import (
        build_learning_record as build_learning_record,
    )
    from stablenew.learning.learning_record_reader import read_records as read_records
    from stablenew.learning.learning_record_writer import (
        LearningRecordWriter as LearningRecordWriter,
    )
    from stablenew.learning.learning_recorder import LearningRecorder as LearningRecorder
    from stablenew.learning.learning_result import (
        LearningExecutionResult as LearningExecutionResult,
    )
    from stablenew.learning.learning_result import LearningRunResult as LearningRunResult
    from stablenew.learning.variant_axis import with_variants as with_variants
    from stablenew.pipeline.image_store import ImageStore as ImageStore
    from stablenew.pipeline.pipeline_runner import PipelineRunner as PipelineRunner
    from stablenew.pipeline.results import Failure as Failure
    from stablenew.pipeline.results import Outcome as Outcome
    from stablenew.pipeline.results import PipelineRunResult as PipelineRunResult
    from stablenew.pipeline.results import StageOutput as StageOutput
    from stablenew.pipeline.results import StageResult as StageResult
    from stablenew.pipeline.run_request import RunRequest as RunRequest
    from stablenew.pipeline.stage_events import BackendAwaited as BackendAwaited
    from stablenew.pipeline.stage_events import BackendLost as BackendLost
    from stablenew.pipeline.stage_events import BackendReturned as BackendReturned
    from stablenew.pipeline.stage_events import PictureSaved as PictureSaved
    from stablenew.pipeline.stage_events import PreviewMade as PreviewMade
    from stablenew.pipeline.stage_events import RunEvent as RunEvent
    from stablenew.pipeline.stage_events import RunFinished as RunFinished
    from stablenew.pipeline.stage_events import RunStarted as RunStarted
    from stablenew.pipeline.stage_events import StageEvent as StageEvent
    from stablenew.pipeline.stage_events import StageFinished as StageFinished
    from stablenew.pipeline.stage_events import StageProgress as StageProgress
    from stablenew.pipeline.stage_events import StageStarted as StageStarted
    from stablenew.pipeline.stage_plan import PlannedStage as PlannedStage
    from stablenew.pipeline.stage_plan import StagePlan as StagePlan
    from stablenew.pipeline.stage_plan import plan_stages as plan_stages
    from stablenew.pipeline.stage_sequencer import StageSequencer as StageSequencer
    from stablenew.pipeline.start_picture import StartPicture as StartPicture
    from stablenew.pipeline.start_picture import look_at_pictures as look_at_pictures
    from stablenew.storage.record_reader import follow as follow

_compiled = sys._getframe().f_code  # of this module, which runs


@cache
def _homes() -> dict[str, str]:
    """Return the module of each public name, read from the imports above as they were compiled.

    Checkers understand nothing but imports, and Python would run all of them at once. Their
    source would do as well, but a program that is frozen into one file has none.
    """
    import dis  # not at the top: the program takes no signal yet while this module is imported

    homes: dict[str, str] = {}
    home = ""
    for each in dis.get_instructions(_compiled):
        if each.opname == "IMPORT_NAME":
            home = each.argval
        elif each.opname == "IMPORT_FROM" and home.startswith("stablenew."):
            homes[each.argval] = home
    return homes


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name == "__all__":
            value = sorted(_homes())
        elif name in _homes():
            value = getattr(import_module(_homes()[name]), name)
        else:
            raise AttributeError(f"module 'stablenew' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
