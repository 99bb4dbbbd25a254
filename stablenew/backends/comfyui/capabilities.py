"""What a server can do, in the words of every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stablenew.backends.base import Capabilities
from stablenew.backends.comfyui import file_names, sampler_names, upscaler_names
from stablenew.backends.comfyui.loaded_graph import OWN_VAE
from stablenew.backends.comfyui.sampling import SAME
from stablenew.backends.comfyui.server import DETAILER, Server
from stablenew.backends.comfyui.workflows.workflow_stage import ComfyUIWorkflows
from stablenew.config.pipeline_config import Setting
from stablenew.config.prompt_syntax import SYNTAX

NAME = "comfyui"

_HIRES = (
    *("hr_scale", "hr_upscaler", "hr_second_pass_steps", "hr_resize_x", "hr_resize_y"),
    *("hr_sampler_name", "hr_scheduler", "hr_prompt", "hr_negative_prompt", "denoising_strength"),
)
_SIZES = ("upscaling_resize_w", "upscaling_resize_h")

_SAMPLER_NAMES = ("sampler_name", "hr_sampler_name", "ad_sampler")
_SCHEDULERS = ("scheduler", "hr_scheduler", "ad_scheduler")
_UPSCALERS = ("upscaler_1", "upscaler_2")
_MODELS = ("model", "refiner_checkpoint")

_NODES: Mapping[str, tuple[str, ...]] = {
    "txt2img": ("CheckpointLoaderSimple", "KSampler", "EmptyLatentImage", "VAEDecode"),
    "img2img": ("CheckpointLoaderSimple", "KSamplerAdvanced", "LoadImage", "VAEEncode"),
    "adetailer": DETAILER,
    "upscale": ("LoadImage", "ImageScale"),
}
"""What a stage cannot do without."""

_AD_DEFAULTS: Mapping[str, Setting] = {
    "ad_prompt": "",
    "ad_negative_prompt": "",
    "ad_confidence": 0.3,
    "ad_mask_blur": 4,
    "ad_dilate_erode": 4,
    "ad_denoising_strength": 0.4,
    "ad_inpaint_only_masked": True,
}
"""ADetailer's own; what it pads around a face, the node measures otherwise."""


def describe(server: Server) -> Capabilities:
    """Return what a server can do; walks all its lists, so that many are for a thread."""
    samplers = sampler_names.names(server.samplers, sampler_names.SAMPLERS)
    return Capabilities(
        backend=NAME,
        version=server.version,
        gpu=server.gpu,
        stages={name: each for name, each in _stages(server).items() if _has(server, name)},
        samplers=samplers,
        schedulers=_schedulers(server.schedulers),
        models=server.checkpoints,
        upscalers=(*upscaler_names.METHODS, *server.upscale_models),
        choices=_choices(server, samplers),
        aliases=_aliases(server),
        files=_files(server),
        ranges=_ranges(server),
        plain_syntax=SYNTAX,
        workflows=ComfyUIWorkflows(server.info),
    )


def _has(server: Server, stage: str) -> bool:
    lists = {"txt2img": server.checkpoints, "adetailer": server.detectors}
    return all(node in server.info for node in _NODES[stage]) and bool(lists.get(stage, True))


def _schedulers(listed: Iterable[str]) -> tuple[str, ...]:
    return (sampler_names.AUTOMATIC, *sampler_names.names(listed, sampler_names.SCHEDULERS))


def _choices(server: Server, samplers: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    choices = {
        "upscale_mode": ("extras", "img2img"),
        "hr_upscaler": (
            *upscaler_names.LATENT_MODES,
            *upscaler_names.METHODS,
            *server.upscale_models,
        ),
        "hr_sampler_name": (*samplers, SAME[0]),
        "hr_scheduler": (*_schedulers(server.schedulers), SAME[1]),
        "vae": (OWN_VAE, *server.vaes),
        "lora": tuple(_shortest(server.loras)),
        "ad_model": server.detectors,
        "ad_sampler": sampler_names.names(
            server.info.choices("FaceDetailer", "sampler_name"), sampler_names.SAMPLERS
        ),
        "ad_scheduler": _schedulers(server.info.choices("FaceDetailer", "scheduler")),
    }
    return {name: names for name, names in choices.items() if names}


def _shortest(files: tuple[str, ...]) -> Iterable[str]:
    """Yield what each file can be called: without folder and ending where it is the only one."""
    spelled = file_names.spellings(files)
    for name in files:
        short = file_names.stem(name)
        yield short if spelled.get(short.lower()) == name else name


def _aliases(server: Server) -> dict[str, Mapping[str, str]]:
    samplers = sampler_names.spellings(server.samplers, sampler_names.SAMPLERS)
    listed = {*server.schedulers, *server.info.choices("FaceDetailer", "scheduler")}
    schedulers = sampler_names.spellings(sorted(listed), sampler_names.SCHEDULERS)
    schedulers["automatic"] = sampler_names.AUTOMATIC
    upscalers = upscaler_names.spellings(server.upscale_models)
    latent = {name.lower(): name for name in upscaler_names.LATENT_MODES}
    own_vae = dict.fromkeys(("automatic", "none"), OWN_VAE)
    models: Mapping[str, str] = file_names.spellings(server.checkpoints)
    return {
        **dict.fromkeys(_SAMPLER_NAMES, samplers),
        **dict.fromkeys(_SCHEDULERS, schedulers),
        **dict.fromkeys(_MODELS, models),
        **dict.fromkeys(_UPSCALERS, upscalers),
        "hr_upscaler": {**upscalers, **latent},
        "vae": {**file_names.spellings(server.vaes), **own_vae},
        "ad_model": file_names.spellings(server.detectors),
    }


def _files(server: Server) -> dict[str, dict[str, str]]:
    """Return the files that names stand for; the server tells no hash of any."""
    loras = [*server.loras, *file_names.spellings(server.loras)]
    listed: dict[str, Iterable[str]] = {
        "model": server.checkpoints,
        "vae": server.vaes,
        "upscaler": server.upscale_models,
        "detector": server.detectors,
        "embedding": server.embeddings,
        "lora": [*loras, *_shortest(server.loras)],
    }
    return {kind: dict.fromkeys(names, "") for kind, names in listed.items()}


def _ranges(server: Server) -> dict[str, tuple[float, float]]:
    """Return how far settings may go where that is less far than on other servers."""
    ranges: dict[str, tuple[float, float]] = {
        "resize_mode": (0, 1),  # fill and latent have no counterpart
        "ad_inpaint_only_masked": (True, True),
    }
    for name, node, field in (
        ("steps", "KSampler", "steps"),
        ("cfg_scale", "KSampler", "cfg"),
        ("width", "EmptyLatentImage", "width"),
        ("height", "EmptyLatentImage", "height"),
    ):
        found = server.info[node].inputs.get(field) if node in server.info else None
        if found is not None and found.low is not None and found.high is not None:
            ranges[name] = (found.low, found.high)
    return ranges


def _stages(server: Server) -> dict[str, dict[str, Setting]]:
    shared: dict[str, Setting] = {
        "prompt": None,
        "negative_prompt": "",
        "seed": -1,
        "model": next(iter(server.checkpoints), None),
        "vae": OWN_VAE,
        "clip_skip": 1,
    }
    sampled = {
        **shared,
        "steps": _default(server, "KSampler", "steps", 20),
        "cfg_scale": _default(server, "KSampler", "cfg", 8.0),
        "sampler_name": sampler_names.spellings(server.samplers, sampler_names.SAMPLERS).get(
            "euler"
        ),
        "scheduler": sampler_names.AUTOMATIC,
        "width": _default(server, "EmptyLatentImage", "width", 512),
        "height": _default(server, "EmptyLatentImage", "height", 512),
    }
    refiner = dict.fromkeys(("refiner_checkpoint", "refiner_switch_at"))
    by_img2img = dict.fromkeys(name for name in sampled if name not in ("width", "height"))
    return {
        "txt2img": {**sampled, "enable_hr": False, **dict.fromkeys(_HIRES), **refiner},
        "img2img": {**sampled, "denoising_strength": 0.75, "resize_mode": 0},
        "adetailer": {
            **shared,
            "ad_model": None,
            **_AD_DEFAULTS,
            **dict.fromkeys(("ad_steps", "ad_cfg_scale", "ad_sampler", "ad_scheduler")),
        },
        "upscale": {
            "upscale_mode": "extras",
            "upscaler_1": None,
            **by_img2img,
            "denoising_strength": None,
            "resize_mode": 0,
            "upscaling_resize": 2.0,
            **dict.fromkeys((*_SIZES, "upscaling_crop")),
            **dict.fromkeys(("upscaler_2", "extras_upscaler_2_visibility")),
        },
    }


def _default(server: Server, node: str, field: str, otherwise: Setting) -> Setting:
    found = server.info[node].inputs.get(field) if node in server.info else None
    return otherwise if found is None or found.default is None else found.default
