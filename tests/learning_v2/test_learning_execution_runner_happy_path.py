from __future__ import annotations

import json

from stablenew.config.prompt import Prompt
from stablenew.events.bus import EventBus
from stablenew.events.event_log import encode_event
from stablenew.learning.axis import axis_of_prompts, axis_of_values
from stablenew.learning.learning_adapter import prepare_learning_run
from stablenew.learning.learning_events import PlanFinished, PlanStarted, StepFinished, StepStarted
from stablenew.learning.learning_execution import LearningExecutionRunner
from stablenew.learning.learning_plan import LearningPlan
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.run_request import RunRequest
from tests.support import Listener, config, ticking_clock

BOTH_LOOPS = True

PLAN = {
    "target_variable": "txt2img.cfg_scale",
    "sweep_values": [1, 3, 5],
    "images_per_step": 2,
    "metadata": {"experiment_name": "first", "one_click_action_id": "click-1"},
}


class Pipeline:
    def __init__(self) -> None:
        self.requests: list[RunRequest] = []

    async def run(self, request: RunRequest) -> PipelineRunResult:
        self.requests.append(request)
        return PipelineRunResult(run_id=request.run_id, outcome=Outcome.SUCCEEDED)


async def test_each_value_is_one_pipeline_run_in_order() -> None:
    pipeline = Pipeline()
    context = prepare_learning_run(PLAN, config())
    result = await LearningExecutionRunner(pipeline.run).run(context)
    assert [request.config.txt2img.cfg_scale for request in pipeline.requests] == [1, 3, 5]
    assert [request.images for request in pipeline.requests] == [2, 2, 2]
    assert result.steps_executed == 3
    assert result.success
    assert result.summary["succeeded"] == 3
    assert [step.step.value for step in result.step_results] == [1, 3, 5]


async def test_a_steps_run_id_is_its_plans_id_and_its_number_and_sorts() -> None:
    pipeline = Pipeline()
    context = prepare_learning_run(PLAN, config(), plan_id="plan-7")
    await LearningExecutionRunner(pipeline.run).run(context)
    run_ids = [request.run_id for request in pipeline.requests]
    assert run_ids == ["plan-7-00001", "plan-7-00002", "plan-7-00003"]


async def test_every_run_is_tagged_the_same_way() -> None:
    pipeline = Pipeline()
    context = prepare_learning_run(PLAN, config(), metadata={"extra": "x"}, plan_id="plan-7")
    result = await LearningExecutionRunner(pipeline.run).run(context)
    tags = dict(pipeline.requests[1].metadata)
    assert tags == {
        "run_type": "learning",
        "plan_id": "plan-7",
        "step_index": 1,
        "experiment_name": "first",
        "stage": "txt2img",
        "variable_name": "cfg_scale",
        "variable_value": 3,
        "varied": {"txt2img.cfg_scale": 3},
        "one_click_action_id": "click-1",
        "plan_steps": 3,
        "extra": "x",
    }
    assert dict(result.step_results[1].tags) == tags


async def test_a_seed_that_was_not_given_is_drawn_once_for_the_whole_plan() -> None:
    pipeline = Pipeline()
    base = config(txt2img={"seed": -1})
    await LearningExecutionRunner(pipeline.run, clock=ticking_clock()).run(
        prepare_learning_run(PLAN, base)
    )
    assert {request.config.txt2img.seed for request in pipeline.requests} == {1234}
    assert base.txt2img.seed == -1


async def test_the_first_n_steps_run_and_the_summary_counts_the_others() -> None:
    pipeline = Pipeline()
    context = prepare_learning_run(PLAN, config(), max_steps=2, max_images_per_step=1)
    result = await LearningExecutionRunner(pipeline.run).run(context)
    assert [request.images for request in pipeline.requests] == [1, 1]
    assert result.steps_executed == 2
    assert (result.summary["steps"], result.summary["not_run"]) == (3, 1)
    assert result.success


async def test_the_plan_and_its_steps_are_told() -> None:
    async with EventBus(strict=True) as bus:
        listener = Listener(bus)
        runner = LearningExecutionRunner(Pipeline().run, bus=bus)
        result = await runner.run(prepare_learning_run(PLAN, config(), plan_id="plan-7"))
        await bus.drain()
    assert listener.names() == [
        "PlanStarted",
        *["StepStarted", "StepFinished"] * 3,
        "PlanFinished",
    ]
    (started,) = listener.of(PlanStarted)
    assert (started.steps, started.images, started.values) == (3, 2, (1, 3, 5))
    assert [event.index for event in listener.of(StepStarted)] == [0, 1, 2]
    assert [event.value for event in listener.of(StepFinished)] == [1, 3, 5]
    assert dict(listener.of(PlanFinished)[0].summary) == dict(result.summary)
    assert {event.plan_id for event in listener.events} == {"plan-7"}


async def test_every_axis_is_told_and_each_step_by_what_sets_it_apart() -> None:
    axes = [
        axis_of_values("txt2img.cfg_scale", [3, 5]),
        axis_of_values("txt2img.steps", [8]),
        axis_of_prompts([("a cat", "blurry"), ("a dog", None)]),
    ]
    async with EventBus(strict=True) as bus:
        listener = Listener(bus)
        runner = LearningExecutionRunner(Pipeline().run, bus=bus)
        await runner.run(prepare_learning_run(LearningPlan(axes=axes), config()))
        await bus.drain()
    labels = [
        "cfg_scale=3, steps=8, prompt=a cat",
        "cfg_scale=5, steps=8, prompt=a cat",
        "cfg_scale=3, steps=8, prompt=a dog",
        "cfg_scale=5, steps=8, prompt=a dog",
    ]
    assert [event.label for event in listener.of(StepStarted)] == labels
    assert [event.label for event in listener.of(StepFinished)] == labels
    (started,) = listener.of(PlanStarted)
    assert started.axes == tuple(axes)
    line = json.loads(encode_event(started))["axes"][2]
    assert line.keys() == {"name", "choices", "condition"}  # whatever was asked of it before
    assert (line["name"], line["condition"]) == ("prompt", True)
    assert line["choices"][0] == {
        "label": "a cat",
        "overrides": {"txt2img.prompt": "a cat", "txt2img.negative_prompt": "blurry"},
        "tags": {},
    }


async def test_what_a_choice_is_tagged_with_is_with_the_runs_that_take_it() -> None:
    prompts = [Prompt(positive=text, pack_id="pets", index=n) for n, text in ((2, "a"), (5, "b"))]
    axes = [axis_of_values("txt2img.cfg_scale", [3, 5]), axis_of_prompts(prompts)]
    plan = LearningPlan(axes=axes, metadata={"prompt_id": "of the plan", "tag": "x"})
    pipeline = Pipeline()
    await LearningExecutionRunner(pipeline.run).run(prepare_learning_run(plan, config()))
    tags = [request.metadata for request in pipeline.requests]
    assert [each["prompt_id"] for each in tags] == ["pets#2", "pets#2", "pets#5", "pets#5"]
    assert {(each["prompt_pack_id"], each["tag"]) for each in tags} == {("pets", "x")}


async def test_the_same_runner_runs_plan_after_plan() -> None:
    runner = LearningExecutionRunner(Pipeline().run)
    first = await runner.run(prepare_learning_run(PLAN, config()))
    second = await runner.run(prepare_learning_run(PLAN, config()))
    assert first.plan_id != second.plan_id
    assert runner.result == second
