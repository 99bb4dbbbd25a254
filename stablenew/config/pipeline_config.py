"""What a person asks of each stage, in the WebUI API's own words.

Nothing is filled in here: None means "not given", and the backend's default takes its place when
the run is planned. Bounds are the API's, not those of a user interface's sliders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import attrs

from stablenew._convert import given, structure, takes_numpy
from stablenew.config.extra_settings import extra_settings, refusal
from stablenew.config.image_files import image_path
from stablenew.config.workflow_config import WorkflowConfig
from stablenew.errors import ConfigError

T = TypeVar("T")

Setting = str | int | float | bool | None
"""What the value of one setting can be."""

STAGES = ("txt2img", "img2img", "adetailer", "upscale")
"""The stages, in the order in which they run."""


@attrs.frozen
class bounded:  # noqa: N801  # used as a function, as attrs' own validators are
    """An attrs validator for a number from `low` to `high`; None passes."""

    low: float
    high: float

    def __call__(self, _: object, field: attrs.Attribute[T], value: T) -> None:
        """Check a field's value.

        Raises:
            ConfigError: It is none that is allowed.
        """
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{field.name}: given {value!r}, expected a number")
        if not self.low <= value <= self.high:
            expected = f"{self.low:,} to {self.high:,}"
            raise ConfigError(f"{field.name}: given {value!r}, expected {expected}")


@attrs.frozen
class whole(bounded):  # noqa: N801  # likewise
    """An attrs validator for a whole number from `low` to `high`; None passes."""

    def __call__(self, owner: object, field: attrs.Attribute[T], value: T) -> None:
        """Check a field's value.

        Raises:
            ConfigError: It is none that is allowed.
        """
        super().__call__(owner, field, value)
        if value is not None and not isinstance(value, int):
            raise ConfigError(f"{field.name}: given {value!r}, expected a whole number")


_steps = bounded(1, 10_000)
_cfg_scale = bounded(0, 1_000)
_side = bounded(8, 16_384)
_fraction = bounded(0, 1)
_seed = bounded(-1, 2**63 - 1)  # 2⁶⁴ is an overflow on AUTOMATIC1111


def _unnamed(owner: object, field: attrs.Attribute[T], value: Mapping[str, object] | None) -> None:
    """Check that no setting is given as an extra one that has a name (an attrs validator)."""
    if owner is None or value is None:  # plain data is looked at once the class is made of it
        return
    stage, named = stage_of(owner), [each.name for each in attrs.fields(type(owner))]  # type: ignore[arg-type]
    refused = ((path, refusal(stage, path, named)) for path in value)
    problems = [f"{field.name}.{path}: {problem}" for path, problem in refused if problem]
    if problems:
        raise ConfigError(*problems)


def _extra() -> Mapping[str, Setting] | None:
    """Return the field of what else is sent as it is; see `extra_settings`."""
    return attrs.field(  # type: ignore[return-value]
        default=None, converter=extra_settings, validator=_unnamed, hash=False
    )


def stage_of(settings: object) -> str:
    """Return the stage that settings are of."""
    return _STAGE_OF[type(settings).__name__]


_STAGE_OF = {
    "Txt2ImgConfig": "txt2img",
    "Img2ImgConfig": "img2img",
    "ADetailerConfig": "adetailer",
    "UpscaleConfig": "upscale",
}


@attrs.frozen(kw_only=True, field_transformer=takes_numpy, weakref_slot=False)  # a step has its own
class Txt2ImgConfig:
    """Settings of `txt2img`, hires fix and refiner included.

    Attributes:
        steps: Sampling steps, 1 to 10,000.
        seed: −1 draws one, which is then kept for the whole plan.
        clip_skip: Layers of the text encoder to leave out, 1 to 12.
        denoising_strength: Of the hires pass, 0 to 1.
        distilled_cfg_scale: Of models that were trained with it, such as Flux.
        styles: Names of the server's styles, separated by commas.
        randn_source: Where noise comes from: `GPU`, `CPU` or `NV`.
        extra: What else is sent as it is, by its path.
    """

    enabled: bool = True
    prompt: str | None = None
    negative_prompt: str | None = None
    model: str | None = None
    vae: str | None = None
    clip_skip: int | None = attrs.field(default=None, validator=bounded(1, 12))
    seed: int | None = attrs.field(default=None, validator=_seed)
    subseed: int | None = attrs.field(default=None, validator=_seed)
    subseed_strength: float | None = attrs.field(default=None, validator=_fraction)
    steps: int | None = attrs.field(default=None, validator=_steps)
    cfg_scale: float | None = attrs.field(default=None, validator=_cfg_scale)
    sampler_name: str | None = None
    scheduler: str | None = None
    width: int | None = attrs.field(default=None, validator=_side)
    height: int | None = attrs.field(default=None, validator=_side)
    enable_hr: bool | None = None
    hr_scale: float | None = attrs.field(default=None, validator=bounded(0.1, 16))
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = attrs.field(default=None, validator=bounded(0, 10_000))
    hr_resize_x: int | None = attrs.field(default=None, validator=bounded(0, 16_384))
    hr_resize_y: int | None = attrs.field(default=None, validator=bounded(0, 16_384))
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = None
    hr_negative_prompt: str | None = None
    denoising_strength: float | None = attrs.field(default=None, validator=_fraction)
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = attrs.field(default=None, validator=_fraction)
    distilled_cfg_scale: float | None = attrs.field(default=None, validator=_cfg_scale)
    styles: str | None = None
    restore_faces: bool | None = None
    tiling: bool | None = None
    eta: float | None = attrs.field(default=None, validator=bounded(0, 100))
    s_churn: float | None = attrs.field(default=None, validator=bounded(0, 10_000))
    s_noise: float | None = attrs.field(default=None, validator=bounded(0, 100))
    randn_source: str | None = None
    extra: Mapping[str, Setting] | None = _extra()


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class Img2ImgConfig:
    """Settings of `img2img`.

    Prompts, seed, model, VAE, clip skip and size come from `txt2img` where not given here.

    Attributes:
        denoising_strength: 0 keeps the picture, 1 makes another one.
        resize_mode: 0 stretch, 1 crop, 2 fill, 3 latent.
        distilled_cfg_scale: Of models that were trained with it, such as Flux.
        styles: Names of the server's styles, separated by commas.
        randn_source: Where noise comes from: `GPU`, `CPU` or `NV`.
        extra: What else is sent as it is, by its path.
    """

    enabled: bool = False
    prompt: str | None = None
    negative_prompt: str | None = None
    model: str | None = None
    vae: str | None = None
    clip_skip: int | None = attrs.field(default=None, validator=bounded(1, 12))
    seed: int | None = attrs.field(default=None, validator=_seed)
    steps: int | None = attrs.field(default=None, validator=_steps)
    cfg_scale: float | None = attrs.field(default=None, validator=_cfg_scale)
    sampler_name: str | None = None
    scheduler: str | None = None
    width: int | None = attrs.field(default=None, validator=_side)
    height: int | None = attrs.field(default=None, validator=_side)
    denoising_strength: float | None = attrs.field(default=None, validator=_fraction)
    resize_mode: int | None = attrs.field(default=None, validator=bounded(0, 3))
    distilled_cfg_scale: float | None = attrs.field(default=None, validator=_cfg_scale)
    styles: str | None = None
    restore_faces: bool | None = None
    tiling: bool | None = None
    eta: float | None = attrs.field(default=None, validator=bounded(0, 100))
    s_churn: float | None = attrs.field(default=None, validator=bounded(0, 10_000))
    s_noise: float | None = attrs.field(default=None, validator=bounded(0, 100))
    randn_source: str | None = None
    extra: Mapping[str, Setting] | None = _extra()


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class ADetailerConfig:
    """Settings of the ADetailer script.

    Prompts, seed, model, VAE and clip skip come from `txt2img` where not given here.

    Attributes:
        ad_model: The detector, such as `face_yolov8n.pt`.
        ad_confidence: How sure the detector must be, 0 to 1.
        extra: What else is sent as it is, by its path.
    """

    enabled: bool = False
    prompt: str | None = None
    negative_prompt: str | None = None
    model: str | None = None
    vae: str | None = None
    clip_skip: int | None = attrs.field(default=None, validator=bounded(1, 12))
    seed: int | None = attrs.field(default=None, validator=_seed)
    ad_model: str | None = None
    ad_prompt: str | None = None
    ad_negative_prompt: str | None = None
    ad_confidence: float | None = attrs.field(default=None, validator=_fraction)
    ad_mask_k: int | None = attrs.field(default=None, validator=bounded(0, 100))
    ad_mask_blur: int | None = attrs.field(default=None, validator=bounded(0, 1_000))
    ad_dilate_erode: int | None = attrs.field(default=None, validator=bounded(-1_000, 1_000))
    ad_denoising_strength: float | None = attrs.field(default=None, validator=_fraction)
    ad_inpaint_only_masked: bool | None = None
    ad_inpaint_only_masked_padding: int | None = attrs.field(
        default=None, validator=bounded(0, 1_000)
    )
    ad_steps: int | None = attrs.field(default=None, validator=_steps)
    ad_cfg_scale: float | None = attrs.field(default=None, validator=_cfg_scale)
    ad_sampler: str | None = None
    ad_scheduler: str | None = None
    extra: Mapping[str, Setting] | None = _extra()


@attrs.frozen(kw_only=True, field_transformer=takes_numpy)
class UpscaleConfig:
    """Settings of `extra-single-image`, or of the upscaling by `img2img`.

    Attributes:
        upscale_mode: `extras` by an upscaler; `img2img` by sampling the picture anew at its new
            size, with the prompts and sampler settings of `txt2img`.
        denoising_strength: For `img2img`: 0 keeps the picture, 1 makes another one; 0.2 if not
            given.
        resize_mode: 0 by the factor `upscaling_resize`, 1 to `upscaling_resize_w` × `_h`.
        upscaling_crop: With a size: cut what does not fit instead of keeping all of it.
        extra: What else is sent as it is, by its path.
    """

    enabled: bool = False
    upscale_mode: str | None = None
    upscaler_1: str | None = None
    denoising_strength: float | None = attrs.field(default=None, validator=_fraction)
    resize_mode: int | None = attrs.field(default=None, validator=bounded(0, 1))
    upscaling_resize: float | None = attrs.field(default=None, validator=bounded(0.05, 64))
    upscaling_resize_w: int | None = attrs.field(default=None, validator=_side)
    upscaling_resize_h: int | None = attrs.field(default=None, validator=_side)
    upscaling_crop: bool | None = None
    upscaler_2: str | None = None
    extras_upscaler_2_visibility: float | None = attrs.field(default=None, validator=_fraction)
    gfpgan_visibility: float | None = attrs.field(default=None, validator=_fraction)
    codeformer_visibility: float | None = attrs.field(default=None, validator=_fraction)
    codeformer_weight: float | None = attrs.field(default=None, validator=_fraction)
    extra: Mapping[str, Setting] | None = _extra()


@attrs.frozen(kw_only=True, weakref_slot=False)
class PipelineConfig:
    """What a run does, stage by stage. Only `txt2img` is on unless somebody turns another on.

    Attributes:
        image: The file of the picture to start from where `txt2img` is off, from the root.
        workflow: Runs in place of the stages; None for none.
    """

    image: str | None = attrs.field(default=None, converter=image_path)
    txt2img: Txt2ImgConfig = Txt2ImgConfig()
    img2img: Img2ImgConfig = Img2ImgConfig()
    adetailer: ADetailerConfig = ADetailerConfig()
    upscale: UpscaleConfig = UpscaleConfig()
    workflow: WorkflowConfig | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> PipelineConfig:
        """Build a config from plain data such as a parsed TOML or JSON file.

        Raises:
            ConfigError: With every problem: path, what was given, what would be right.
        """
        return structure(data, cls)

    def to_dict(self) -> dict[str, object]:
        """Return what was given, as plain data that `from_dict` takes."""
        plain = given(self)
        assert isinstance(plain, dict)
        return plain
