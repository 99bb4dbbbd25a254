"""The servers that people run, as far as they differ; figures and names as they were recorded."""

from __future__ import annotations

import attrs

SAMPLERS = {
    "DPM++ 2M": ("k_dpmpp_2m",),
    "DPM++ SDE": ("k_dpmpp_sde",),
    "DPM++ 2M SDE": ("k_dpmpp_2m_sde",),
    "DPM++ 2M SDE Heun": ("k_dpmpp_2m_sde_heun",),
    "DPM++ 2S a": ("k_dpmpp_2s_a",),
    "DPM++ 3M SDE": ("k_dpmpp_3m_sde",),
    "Euler a": ("k_euler_a", "k_euler_ancestral"),
    "Euler": ("k_euler",),
    "LMS": ("k_lms",),
    "Heun": ("k_heun",),
    "DPM2": ("k_dpm_2",),
    "DPM2 a": ("k_dpm_2_a",),
    "DPM fast": ("k_dpm_fast",),
    "DPM adaptive": ("k_dpm_ad",),
    "Restart": ("restart",),
    "DDIM": ("ddim",),
    "DDIM CFG++": ("ddim_cfgpp",),
    "PLMS": ("plms",),
    "UniPC": ("unipc",),
    "LCM": ("k_lcm",),
}
SCHEDULERS = {
    "Automatic": "automatic",
    "Uniform": "uniform",
    "Karras": "karras",
    "Exponential": "exponential",
    "Polyexponential": "polyexponential",
    "SGM Uniform": "sgm_uniform",
    "KL Optimal": "kl_optimal",
    "Align Your Steps": "align_your_steps",
    "Simple": "simple",
    "Normal": "normal",
    "DDIM": "ddim",
    "Beta": "beta",
}
UPSCALERS: tuple[str, ...] = (
    *("None", "Lanczos", "Nearest", "DAT x2", "DAT x3", "DAT x4", "ESRGAN_4x", "LDSR"),
    *("R-ESRGAN 4x+", "R-ESRGAN 4x+ Anime6B", "ScuNET GAN", "ScuNET PSNR", "SwinIR_4x"),
)
LATENT_MODES = (
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
)
MODELS = ("randsd15-tiny-a", "randsd15-tiny-b")
SCRIPTS = {
    "txt2img": [
        *("prompt matrix", "prompts from file or textbox", "x/y/z plot", "extra options"),
        *("Hypertile", "refiner", "sampler", "seed"),
    ],
    "img2img": [
        *("img2img alternative test", "loopback", "outpainting mk2", "poor man's outpainting"),
        *("prompt matrix", "prompts from file or textbox", "sd upscale", "x/y/z plot"),
        *("extra options", "Hypertile", "soft inpainting", "refiner", "sampler", "seed"),
    ],
}
DETECTORS = (
    "mediapipe_face_full",
    "mediapipe_face_short",
    "mediapipe_face_mesh",
    "mediapipe_face_mesh_eyes_only",
    "face_yolov8n.pt",
)


SDNEXT_SAMPLERS = {
    "UniPC": "UniPCMultistepScheduler",
    "DDIM": "DDIMScheduler",
    "Euler": "EulerDiscreteScheduler",
    "Euler a": "EulerAncestralDiscreteScheduler",
    "Euler FlowMatch": "FlowMatchEulerDiscreteScheduler",
    "DPM++ 2M": "DPMSolverMultistepScheduler",
    "DPM++ SDE": "DPMSolverMultistepScheduler",
    "Heun": "HeunDiscreteScheduler",
    "LCM": "LCMScheduler",
    "Lobatto 2": "LobattoScheduler",
}
"""Of the 114 samplers that it lists, some, and what they are."""


@attrs.frozen(kw_only=True)
class Profile:
    """One kind of server.

    Attributes:
        version: As pictures name it.
        errors: The shape of its errors: `a1111`, `forge`, `sdnext` or `sdcpp`.
        ui: Whether it runs with its page, and so has `/internal`.
        auth: `user:password` that `/sdapi` asks for.
        adetailer: Whether the script is installed.
        full: Whether it has progress, interrupt, extras, options to set: all but sd-server.
    """

    name: str
    version: str
    errors: str
    ui: bool = False
    auth: str | None = None
    adetailer: bool = True
    full: bool = True

    @property
    def forge(self) -> bool:
        return self.errors == "forge"

    @property
    def sdnext(self) -> bool:
        return self.errors == "sdnext"


A1111 = Profile(name="a1111", version="1.10.1", errors="a1111")
A1111_BARE = Profile(name="a1111 bare", version="1.10.1", errors="a1111", adetailer=False)
A1111_UI = Profile(name="a1111 ui", version="1.10.1", errors="a1111", ui=True)
A1111_AUTH = Profile(
    name="a1111 auth", version="1.10.1", errors="a1111", ui=True, auth="alice:secret"
)
FORGE = Profile(name="forge", version="f2.0.1v1.10.1-1.10.1", errors="forge", ui=True)
SDNEXT = Profile(name="sdnext", version="058a7f0c", errors="sdnext", adetailer=False)
SDCPP = Profile(
    name="sdcpp", version="stable-diffusion.cpp", errors="sdcpp", adetailer=False, full=False
)
ALL = (A1111, A1111_UI, FORGE, SDNEXT, SDCPP)
