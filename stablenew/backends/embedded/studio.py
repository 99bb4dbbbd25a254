"""From a stage's request to an encoded picture: what numpy and Pillow are needed for."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import attrs
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stablenew.backends.base import Picture, StageRequest
from stablenew.backends.embedded.capabilities import EMBEDDED_CAPABILITIES
from stablenew.backends.embedded.model import Drawing, Model, Pixels
from stablenew.backends.embedded.samplers import Callback
from stablenew.backends.infotext import infotext
from stablenew.config.pipeline_config import Setting
from stablenew.errors import BackendProtocolError

_FILTERS = {
    "Lanczos": Image.Resampling.LANCZOS,
    "Nearest": Image.Resampling.NEAREST,
    "Bicubic": Image.Resampling.BICUBIC,
}
_VERSION = f"stablenew embedded {EMBEDDED_CAPABILITIES.version}"


class Studio:
    """The loaded model with its stages. For one thread at a time."""

    def __init__(self) -> None:
        self._model = Model()

    def draw(self, request: StageRequest, callback: Callback) -> Picture:
        """Make one picture.

        Args:
            request: What to make.
            callback: Called after each step; may raise to stop.
        """
        # Bound methods kept in the object would keep it, and its 30 MB of scratch, until Python's
        # collector comes by.
        stages: Mapping[str, Callable[[StageRequest, Callback], Picture]] = {
            "txt2img": self._txt2img,
            "img2img": self._img2img,
            "upscale": self._upscale,
        }
        return stages[request.stage](request, callback)

    def _txt2img(self, request: StageRequest, callback: Callback) -> Picture:
        pixels = self._model.txt2img(_drawing(request.settings), callback)
        return self._sampled(pixels, request.settings)

    def _img2img(self, request: StageRequest, callback: Callback) -> Picture:
        settings = request.settings
        image = _decoded(request).convert("RGB")
        side, size = self._model.size, image.size
        warnings: tuple[str, ...] = ()
        if size != (side, side):  # stretched, as the WebUI's resize_mode 0
            image = image.resize((side, side), Image.Resampling.LANCZOS)
            warnings = (f"started from {size[0]}x{size[1]} pixels resized to {side}x{side}",)
        strength = settings["denoising_strength"]
        assert isinstance(strength, int | float)
        pixels = self._model.img2img(_drawing(settings), np.asarray(image), strength, callback)
        return attrs.evolve(self._sampled(pixels, settings), warnings=warnings)

    def _upscale(self, request: StageRequest, callback: Callback) -> Picture:
        image = _decoded(request)
        before = image.info.get("parameters")
        picture = _resized(image, request.settings)
        callback(1, 1)
        name = request.settings["upscaler_1"]
        done = f"Postprocess upscale to: {picture.width}x{picture.height}, "
        texts = {"parameters": before, "postprocessing": f"{done}Postprocess upscaler: {name}"}
        return Picture(
            data=_png(picture, texts),
            width=picture.width,
            height=picture.height,
            settings={"upscaler_1": name},
        )

    def _sampled(self, pixels: Pixels, settings: Mapping[str, Setting]) -> Picture:
        used = {**settings, "model": self._model.name, "model_hash": self._model.hash}
        image = Image.fromarray(pixels)
        return Picture(
            data=_png(image, {"parameters": infotext(used, _VERSION)}),
            width=image.width,
            height=image.height,
            settings=used,
            ignored_words=self._model.tokenizer.left_out(str(settings["prompt"])),
        )


def _drawing(settings: Mapping[str, Setting]) -> Drawing:
    """Read a drawing from settings that the plan has checked."""
    seed, steps, cfg_scale = settings["seed"], settings["steps"], settings["cfg_scale"]
    assert isinstance(seed, int)
    assert isinstance(steps, int)
    assert isinstance(cfg_scale, int | float)
    return Drawing(
        prompt=str(settings["prompt"]),
        negative_prompt=str(settings["negative_prompt"]),
        seed=seed,
        steps=steps,
        cfg_scale=cfg_scale,
        sampler_name=str(settings["sampler_name"]),
        scheduler=str(settings["scheduler"]),
    )


def _decoded(request: StageRequest) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(request.image or b""))
        image.load()
    except OSError as error:
        raise BackendProtocolError(
            f"cannot read the picture: {error}", stage=request.stage
        ) from error
    return image


def _resized(image: Image.Image, settings: Mapping[str, Setting]) -> Image.Image:
    """Resize by a factor, or to a size: filled and cropped to it, or kept whole inside it."""
    resample = _FILTERS[str(settings["upscaler_1"])]
    if settings["resize_mode"] == 0:
        scale = float(settings["upscaling_resize"] or 1)
        return image.resize(_scaled(image, scale), resample)
    width, height = (
        int(settings["upscaling_resize_w"] or 0),
        int(settings["upscaling_resize_h"] or 0),
    )
    ratios = width / image.width, height / image.height
    if not settings["upscaling_crop"]:
        return image.resize(_scaled(image, min(ratios)), resample)
    filled = image.resize(_scaled(image, max(ratios)), resample)
    left, top = (filled.width - width) // 2, (filled.height - height) // 2
    return filled.crop((left, top, left + width, top + height))


def _scaled(image: Image.Image, scale: float) -> tuple[int, int]:
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _png(image: Image.Image, texts: Mapping[str, str | None]) -> bytes:
    """Encode a picture; the same pixels and texts give the same bytes."""
    info = PngInfo()
    for key, text in texts.items():
        if text:
            info.add_text(key, text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
