"""The model against the vectors that came with its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stablenew._blas import one_blas_thread
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.backends.embedded.model import Drawing, Model
from stablenew.backends.embedded.samplers import SAMPLERS, SCHEDULERS, sigmas_for
from tests.support import rounds

VECTORS = np.load(Path(__file__).parent / "data" / "test_vectors.npz")
CASES = json.loads(bytes(VECTORS["meta"]))
DENOISED = [case for case in CASES if case["kind"] == "denoise"]
SAMPLED = [case for case in CASES if case["kind"] != "denoise"]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with one_blas_thread():
        yield Model()


def ignore_steps(step: int, steps: int) -> None:
    pass


def drawing(case: dict[str, object]) -> Drawing:
    defaults = {"negative_prompt": "", "sampler_name": "DPM++ 2M", "scheduler": "Karras"}
    names = ("prompt", "negative_prompt", "seed", "steps", "cfg_scale", "sampler_name", "scheduler")
    return Drawing(**{name: {**defaults, **case}[name] for name in names})  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(len(DENOISED)))
def test_the_denoiser_agrees_to_a_thousandth(model: Model, number: int) -> None:
    case = DENOISED[number]
    text = model.encode([model.tokenizer(case["prompt"])])
    denoised = model.denoise(VECTORS[f"d{number}_x"], case["sigma"], text)
    assert np.abs(denoised - VECTORS[f"d{number}_y"]).max() < 1e-3


@pytest.mark.parametrize("case", DENOISED, ids=lambda case: case["prompt"])
def test_the_tokenizer_reads_words_weights_and_tags(model: Model, case: dict[str, object]) -> None:
    tokens = model.tokenizer(str(case["prompt"]))
    assert list(tokens.ids) == case["ids"]
    assert list(tokens.weights) == pytest.approx(case["weights"])
    assert list(tokens.used) == case["used"]
    assert list(tokens.ignored) == case["ignored"]


@pytest.mark.parametrize("case", SAMPLED[:: rounds(3, 1)], ids=lambda case: case["key"])
def test_pictures_agree_to_a_mean_of_one_level(model: Model, case: dict[str, object]) -> None:
    if case["kind"] == "txt2img":
        pixels = model.txt2img(drawing(case), ignore_steps)
    else:
        strength = case["denoising_strength"]
        assert isinstance(strength, float)
        start = VECTORS[str(case["init"])]
        pixels = model.img2img(drawing(case), start, strength, ignore_steps)
    expected = VECTORS[str(case["key"])].astype(int)
    assert np.abs(pixels.astype(int) - expected).mean() < 1


def test_the_vectors_cover_every_sampler() -> None:
    covered = {case["sampler_name"] for case in SAMPLED if "sampler_name" in case}
    assert covered == set(SAMPLERS)


def test_what_the_capabilities_name_is_what_there_is() -> None:
    assert set(EMBEDDED_CAPABILITIES.samplers) == set(SAMPLERS)
    assert set(EMBEDDED_CAPABILITIES.schedulers) == set(SCHEDULERS)


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 150])
def test_a_schedule_falls_from_strong_to_nothing(scheduler: str, steps: int) -> None:
    sigmas = sigmas_for(steps, scheduler)
    assert len(sigmas) == steps + 1
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[-1] == 0


def test_a_schedule_from_far_out_has_as_many_steps() -> None:
    assert len(sigmas_for(20, "Karras", 120.0)) == 21
    assert sigmas_for(20, "Karras", 120.0)[0] == 120.0


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_survives_one_step(model: Model, sampler: str) -> None:
    case = {**SAMPLED[0], "steps": 1, "sampler_name": sampler}
    pixels = model.txt2img(drawing(case), ignore_steps)
    assert pixels.shape == (64, 64, 3)


@pytest.mark.parametrize(
    "prompt", ["", "(((", "a (cat:", "(cat:1.2.3)", "<lora:x:1>", "[[]]", "漢字", "cat " * 99]
)
def test_no_prompt_is_too_strange(model: Model, prompt: str) -> None:
    tokens = model.tokenizer(prompt)
    assert len(tokens.ids) == len(tokens.weights) <= 24


def test_the_hash_is_the_files(model: Model) -> None:
    assert len(model.hash) == 10
    assert model.name == EMBEDDED_CAPABILITIES.models[0]


def test_what_says_nothing_to_the_model_is_told_whole_in_any_script(model: Model) -> None:
    prompt = "un gato montañoso, 猫 <lora:add-detail:0.7>"
    left_out = model.tokenizer.left_out(prompt)
    assert set(left_out) >= {"montañoso", "猫", "<lora:add-detail:0.7>"}


def test_syntax_that_the_model_reads_as_plain_words_is_told(model: Model) -> None:
    prompt = (
        "{red|blue} cat in __places/by_night__, [cat|dog] [a:b:0.5], (blue:1.2) [dark] <lora:x:1>"
    )
    assert model.tokenizer.left_out(prompt)[-5:] == (
        "<lora:x:1>",
        "{red|blue}",
        "__places/by_night__",
        "[cat|dog]",
        "[a:b:0.5]",
    )
    assert model.tokenizer.left_out("(blue:1.2) [dark] cat, {cat") == ()
