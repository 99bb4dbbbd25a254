"""The nodes of the ComfyUI that tests run against, as `/object_info` tells them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

SAMPLERS = (
    *("euler", "euler_cfg_pp", "euler_ancestral", "heun", "heunpp2", "dpm_2", "dpm_2_ancestral"),
    *("lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m"),
    *("dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "lcm", "deis", "ddim", "uni_pc"),
)
SCHEDULERS = (
    *("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal"),
    *("linear_quadratic", "kl_optimal"),
)
CHECKPOINTS = ("full-a.safetensors", "sd15/full-b.safetensors", "sdxl/refiner.safetensors")
VAES = ("vae-a.safetensors", "vae-b.safetensors")
LORAS = ("Film.safetensors", "styles/grain.safetensors", "old/same.pt", "new/same.pt")
UPSCALE_MODELS = ("RealESRGAN_x4plus.pth", "4x-UltraSharp.pth")
DETECTORS = ("bbox/face_yolov8n.pt", "segm/person_yolov8m-seg.pt")
LINKS = {
    "CheckpointLoaderSimple": ["MODEL", "CLIP", "VAE"],
    "VAELoader": ["VAE"],
    "LoraLoader": ["MODEL", "CLIP"],
    "CLIPSetLastLayer": ["CLIP"],
    "CLIPTextEncode": ["CONDITIONING"],
    "EmptyLatentImage": ["LATENT"],
    "KSampler": ["LATENT"],
    "KSamplerAdvanced": ["LATENT"],
    "VAEDecode": ["IMAGE"],
    "VAEEncode": ["LATENT"],
    "LatentUpscale": ["LATENT"],
    "LoadImage": ["IMAGE", "MASK"],
    "ImageScale": ["IMAGE"],
    "ImageBlend": ["IMAGE"],
    "UpscaleModelLoader": ["UPSCALE_MODEL"],
    "ImageUpscaleWithModel": ["IMAGE"],
    "PreviewImage": ["IMAGE"],
    "SaveImage": ["IMAGE"],
    "UltralyticsDetectorProvider": ["BBOX_DETECTOR", "SEGM_DETECTOR"],
    "FaceDetailer": ["IMAGE"],
}
"""What each gives."""


def integer(default: int, low: int, high: int, **more: Any) -> list[Any]:
    return ["INT", {"default": default, "min": low, "max": high, **more}]


def number(default: float, low: float, high: float) -> list[Any]:
    return ["FLOAT", {"default": default, "min": low, "max": high, "step": 0.01}]


def old(*names: str) -> list[Any]:
    """An enumeration of the older shape."""
    return [list(names), {"tooltip": "one of them"}]


def new(*names: str) -> list[Any]:
    """An enumeration of the newer shape; both are in one answer."""
    return ["COMBO", {"multiselect": False, "options": list(names)}]


SEED = integer(0, 0, 2**64 - 1, control_after_generate=True)
SAMPLED = {
    "steps": integer(20, 1, 10_000),
    "cfg": number(8.0, 0.0, 100.0),
    "sampler_name": old(*SAMPLERS),
    "scheduler": old(*SCHEDULERS),
    "model": ["MODEL"],
    "positive": ["CONDITIONING"],
    "negative": ["CONDITIONING"],
}
SCALED = {"width": integer(512, 0, 16_384), "height": integer(512, 0, 16_384)}
METHODS = ("nearest-exact", "bilinear", "area", "bicubic")
CROP = old("disabled", "center")

REQUIRED: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": old(*CHECKPOINTS)},
    "VAELoader": {"vae_name": old(*VAES)},
    "LoraLoader": {
        "model": ["MODEL"],
        "clip": ["CLIP"],
        "lora_name": old(*LORAS),
        "strength_model": number(1.0, -100.0, 100.0),
        "strength_clip": number(1.0, -100.0, 100.0),
    },
    "CLIPSetLastLayer": {"clip": ["CLIP"], "stop_at_clip_layer": integer(-1, -24, -1)},
    "CLIPTextEncode": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]},
    "EmptyLatentImage": {
        "width": integer(512, 16, 16_384),
        "height": integer(512, 16, 16_384),
        "batch_size": integer(1, 1, 4096),
    },
    "KSampler": {
        **SAMPLED,
        "seed": SEED,
        "latent_image": ["LATENT"],
        "denoise": number(1.0, 0.0, 1.0),
    },
    "KSamplerAdvanced": {
        **SAMPLED,
        "noise_seed": SEED,
        "latent_image": ["LATENT"],
        "add_noise": old("enable", "disable"),
        "start_at_step": integer(0, 0, 10_000),
        "end_at_step": integer(10_000, 0, 10_000),
        "return_with_leftover_noise": old("disable", "enable"),
    },
    "VAEDecode": {"samples": ["LATENT"], "vae": ["VAE"]},
    "VAEEncode": {"pixels": ["IMAGE"], "vae": ["VAE"]},
    "LatentUpscale": {
        "samples": ["LATENT"],
        "upscale_method": old(*METHODS, "bislerp"),
        **SCALED,
        "crop": CROP,
    },
    "LoadImage": {"image": [["example.png"], {"image_upload": True}]},
    "ImageScale": {
        "image": ["IMAGE"],
        "upscale_method": old(*METHODS, "lanczos"),
        **SCALED,
        "crop": CROP,
    },
    "ImageBlend": {
        "image1": ["IMAGE", {}],
        "image2": ["IMAGE", {}],
        "blend_factor": number(0.5, 0.0, 1.0),
        "blend_mode": new("normal", "multiply"),
    },
    "UpscaleModelLoader": {"model_name": new(*UPSCALE_MODELS)},
    "ImageUpscaleWithModel": {"upscale_model": ["UPSCALE_MODEL", {}], "image": ["IMAGE", {}]},
    "PreviewImage": {"images": ["IMAGE"]},
    "SaveImage": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
    "UltralyticsDetectorProvider": {"model_name": old(*DETECTORS)},
    "FaceDetailer": {
        **SAMPLED,
        "scheduler": old(*SCHEDULERS, "AYS SD1", "AYS SDXL"),
        "image": ["IMAGE"],
        "clip": ["CLIP"],
        "vae": ["VAE"],
        "bbox_detector": ["BBOX_DETECTOR"],
        "seed": SEED,
        "denoise": number(0.5, 0.0001, 1.0),
        "guide_size": number(512, 64, 16_384),
        "max_size": number(1024, 64, 16_384),
        "feather": integer(5, 0, 100),
        "noise_mask": ["BOOLEAN", {"default": True}],
        "bbox_threshold": number(0.5, 0.0, 1.0),
        "bbox_dilation": integer(10, -512, 512),
        "bbox_crop_factor": number(3.0, 1.0, 10.0),
        "wildcard": ["STRING", {"multiline": True}],
        "cycle": integer(1, 1, 10),
    },
}
OPTIONAL = {"FaceDetailer": {"segm_detector_opt": ["SEGM_DETECTOR"]}}


def object_info(*, detailer: bool = True) -> dict[str, Any]:
    """Return what `/object_info` answers."""
    left_out = () if detailer else ("FaceDetailer", "UltralyticsDetectorProvider")
    return {
        name: {
            "input": {"required": deepcopy(required), "optional": OPTIONAL.get(name, {})},
            "input_order": {
                "required": list(required),
                "optional": list(OPTIONAL.get(name, {})),
            },
            "output": LINKS[name],
            "output_node": name in ("PreviewImage", "SaveImage"),
            "display_name": name,
            "python_module": "custom_nodes.impact" if name in left_out else "nodes",
        }
        for name, required in REQUIRED.items()
        if name not in left_out
    }
