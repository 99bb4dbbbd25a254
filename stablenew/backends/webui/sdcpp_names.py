"""What stable-diffusion.cpp names samplers and schedulers, beside what AUTOMATIC1111 does."""

from __future__ import annotations

from collections.abc import Mapping

_DEFAULT = "default"
"""In its lists, and no name: it is ignored like any that it does not know."""

_KNOWN_AS: Mapping[str, tuple[str, ...]] = {
    "euler": ("k_euler",),
    "euler_a": ("Euler a", "k_euler_a", "k_euler_ancestral"),
    "heun": ("k_heun",),
    "dpm2": ("k_dpm_2",),
    "dpm++2s_a": ("DPM++ 2S a", "k_dpmpp_2s_a"),
    "dpm++2m": ("DPM++ 2M", "k_dpmpp_2m"),
    "dpm++2m_sde": ("DPM++ 2M SDE", "k_dpmpp_2m_sde"),
    "lms": ("k_lms",),
    "ddim_trailing": ("DDIM",),
    "ays": ("Align Your Steps",),
    "sgm_uniform": ("SGM Uniform",),
    "kl_optimal": ("KL Optimal",),
}


def sdcpp_names(listed: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the names of a list that are names, each with what else it is known as."""
    return {
        name: (*others, *_KNOWN_AS.get(name, ()))
        for name, others in listed.items()
        if name != _DEFAULT
    }
