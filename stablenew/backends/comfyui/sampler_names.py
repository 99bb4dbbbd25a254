"""AUTOMATIC1111's names of samplers and schedulers, and what ComfyUI calls the same. Pure.

One config is for all servers, so its names are those of AUTOMATIC1111; what ComfyUI has besides
keeps ComfyUI's name. Restart, PLMS and DDIM CFG++ have no counterpart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

AUTOMATIC = "Automatic"
"""The scheduler that goes with the sampler."""

SAMPLERS: Mapping[str, str] = {
    "DPM++ 2M": "dpmpp_2m",
    "DPM++ SDE": "dpmpp_sde",
    "DPM++ 2M SDE": "dpmpp_2m_sde",
    "DPM++ 2M SDE Heun": "dpmpp_2m_sde_heun",
    "DPM++ 2S a": "dpmpp_2s_ancestral",
    "DPM++ 3M SDE": "dpmpp_3m_sde",
    "Euler a": "euler_ancestral",
    "Euler": "euler",
    "LMS": "lms",
    "Heun": "heun",
    "DPM2": "dpm_2",
    "DPM2 a": "dpm_2_ancestral",
    "DPM fast": "dpm_fast",
    "DPM adaptive": "dpm_adaptive",
    "DDIM": "ddim",
    "UniPC": "uni_pc",
    "LCM": "lcm",
}
"""ComfyUI's name for each of AUTOMATIC1111's."""

SCHEDULERS: Mapping[str, str] = {
    "Uniform": "normal",
    "Karras": "karras",
    "Exponential": "exponential",
    "Polyexponential": "exponential",  # with its rho of 1
    "SGM Uniform": "sgm_uniform",
    "KL Optimal": "kl_optimal",
    "Simple": "simple",
    "Normal": "normal",
    "DDIM": "ddim_uniform",
    "Beta": "beta",
}

_BY_SAMPLER: Mapping[str, str] = {
    **dict.fromkeys(("dpmpp_2m", "dpmpp_sde", "dpmpp_2s_ancestral"), "karras"),
    **dict.fromkeys(("dpm_2", "dpm_2_ancestral"), "karras"),
    **dict.fromkeys(("dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"), "exponential"),
    "ddim": "ddim_uniform",
}
"""What `Automatic` is on AUTOMATIC1111; `normal` with every other sampler."""

_ALIASES: Mapping[str, str] = {
    "k_euler": "Euler",
    "k_euler_a": "Euler a",
    "k_euler_ancestral": "Euler a",
    "k_lms": "LMS",
    "k_heun": "Heun",
    "k_dpm_2": "DPM2",
    "k_dpm_2_a": "DPM2 a",
    "k_dpmpp_2s_a": "DPM++ 2S a",
    "k_dpmpp_2m": "DPM++ 2M",
    "k_dpmpp_sde": "DPM++ SDE",
    "k_dpmpp_2m_sde": "DPM++ 2M SDE",
    "k_dpm_fast": "DPM fast",
    "k_dpm_ad": "DPM adaptive",
    "k_lcm": "LCM",
}


def names(listed: Iterable[str], theirs: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a config may say for what a server lists: its other names come last."""
    has = list(listed)
    named = [name for name, theirs_name in theirs.items() if theirs_name in has]
    return (*named, *(name for name in has if name not in theirs.values()))


def spellings(listed: Iterable[str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return each other spelling in lower case, with the name of `names` that it stands for."""
    valid = names(listed, theirs)
    known = {theirs[name]: name for name in reversed(valid) if name in theirs}
    known |= {alias: name for alias, name in _ALIASES.items() if name in valid and name in theirs}
    if "normal" in known:  # two of AUTOMATIC1111's are this one
        known["normal"] = "Normal"
    return {**known, **{name.lower(): name for name in valid}}


def sampler(name: str) -> str:
    """Return what ComfyUI calls a sampler."""
    return SAMPLERS.get(name, name)


def scheduler(name: str | None, sampler_name: str) -> str:
    """Return what ComfyUI calls a scheduler; the one that goes with the sampler for `Automatic`.

    Args:
        name: As in a config.
        sampler_name: ComfyUI's name of the sampler.
    """
    if name in (None, "", AUTOMATIC):
        return _BY_SAMPLER.get(sampler_name, "normal")
    return SCHEDULERS.get(str(name), str(name))
