"""What the embedded model can do, told without loading it."""

from __future__ import annotations

from stablenew.backends.base import Capabilities

SIDE = 64
"""The width and height of its pictures: it was trained for no other."""

MODEL = "stablenew-tiny-v1"
MODEL_HASH = "8c5a3f701b"
"""Of the weights that ship with the package, known before they are loaded."""

_SAMPLED = {
    "prompt": None,
    "negative_prompt": "",
    "model": MODEL,
    "seed": -1,
    "steps": 20,
    "cfg_scale": 5.0,
    "sampler_name": "DPM++ 2M",
    "scheduler": "Karras",
    "width": SIDE,
    "height": SIDE,
}

EMBEDDED_CAPABILITIES = Capabilities(
    backend="embedded",
    version="1",
    stages={
        "txt2img": _SAMPLED,
        "img2img": {**_SAMPLED, "denoising_strength": 0.6},
        "upscale": {
            "upscaler_1": "Lanczos",
            "resize_mode": 0,
            "upscaling_resize": 4,
            "upscaling_resize_w": 256,
            "upscaling_resize_h": 256,
            "upscaling_crop": True,
        },
    },
    samplers=(
        "DPM++ 2M",
        "DPM++ SDE",
        "DPM++ 2M SDE",
        "DPM++ 2S a",
        "Euler a",
        "Euler",
        "LMS",
        "Heun",
        "DPM2",
        "DDIM",
    ),
    schedulers=("Automatic", "Karras", "Exponential", "Uniform"),
    models=(MODEL,),
    model_hashes={MODEL: MODEL_HASH},
    upscalers=("Lanczos", "Nearest", "Bicubic"),
    sizes=((SIDE, SIDE),),
)
