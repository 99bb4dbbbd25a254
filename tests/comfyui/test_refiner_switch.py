"""The refiner takes over where AUTOMATIC1111 has it: by the noise that is left."""

from __future__ import annotations

import pytest

from stablenew.backends.comfyui.refiner_switch import switch_step

# What `KSampler.calculate_sigmas` of ComfyUI 0.33 and `apply_refiner` of AUTOMATIC1111 1.10.1 give
# together, for the noise of Stable Diffusion 1.
AT_0_8 = {
    "normal": 16,
    "sgm_uniform": 17,
    "simple": 16,
    "ddim_uniform": 16,
    "karras": 12,
    "exponential": 10,
    "kl_optimal": 13,
    "beta": 15,
}


@pytest.mark.parametrize("scheduler", AT_0_8)
def test_of_twenty_steps_it_has_those_with_little_noise(scheduler: str) -> None:
    assert switch_step(scheduler, "dpmpp_2m", 20, 0.8) == AT_0_8[scheduler]


@pytest.mark.parametrize(
    ("scheduler", "sampler", "steps", "at", "step"),
    [
        ("normal", "euler", 27, 0.5, 13),  # half of the timesteps lie between two: the later counts
        ("beta", "euler", 12, 0.5, 7),
        ("sgm_uniform", "euler", 26, 0.5, 13),
        ("sgm_uniform", "dpm_2", 25, 0.5, 13),
    ],
)
def test_between_two_timesteps_it_goes_by_the_nearer(
    scheduler: str, sampler: str, steps: int, at: float, step: int
) -> None:
    assert switch_step(scheduler, sampler, steps, at) == step


@pytest.mark.parametrize("scheduler", AT_0_8)
@pytest.mark.parametrize("steps", [2, 4, 20, 60, 150, 999])
def test_the_later_it_is_to_begin_the_later_it_does(scheduler: str, steps: int) -> None:
    at = [switch_step(scheduler, "euler", steps, part / 20) for part in range(21)]
    assert at == sorted(at)
    assert (at[0], at[-1]) == (0, steps)


def test_a_schedule_of_comfyui_alone_is_shared_by_its_steps() -> None:
    assert switch_step("linear_quadratic", "euler", 20, 0.8) == 16
