"""From a stage's settings to the graph that makes its picture, as AUTOMATIC1111 would. Pure.

- Hires fix makes all of its steps; img2img makes `int(steps × denoising strength) + 1` of them.
- Pictures are one graph each: the second of a batch has another seed than `seed + 1` here.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew.backends.base import StageRequest
from stablenew.backends.comfyui import sampler_names
from stablenew.backends.comfyui.graph import Graph, Link
from stablenew.backends.comfyui.loaded_graph import Loaded, load, translate_prompts
from stablenew.backends.comfyui.sampling import Pass, pass_of, sample
from stablenew.backends.comfyui.server import Server
from stablenew.backends.comfyui.upscaler_names import LATENT_MODES, METHODS
from stablenew.backends.comfyui.workflows.workflow_stage import OUTPUT as WORKFLOW_OUTPUT
from stablenew.backends.comfyui.workflows.workflow_stage import filled_graph, steps_of
from stablenew.backends.picture_sizes import hires_size, upscaled_size
from stablenew.config.pipeline_config import Setting
from stablenew.config.workflow_config import WORKFLOW
from stablenew.errors import BackendProtocolError

OUTPUT = "picture"
"""The node that gives the picture."""

HIRES = "hires"
"""The node of the second pass."""


@attrs.frozen(kw_only=True)
class Source:
    """The picture that a stage starts from.

    Attributes:
        name: As the server knows it.
        size: Width and height in pixels.
    """

    name: str
    size: tuple[int, int]


@attrs.frozen(kw_only=True)
class StageGraph:
    """A graph that makes one picture.

    Attributes:
        nodes: By id, as they are sent.
        size: Width and height that the picture should have; None for any.
        steps: For each node that counts, how many steps it makes.
        detailer: The node that may find nothing to do; None where there is none.
        output: The node that gives the picture.
    """

    nodes: Mapping[str, Mapping[str, object]]
    size: tuple[int, int] | None
    steps: Mapping[str, int]
    detailer: str | None = None
    output: str = OUTPUT


def build_graph(request: StageRequest, server: Server, source: Source | None = None) -> StageGraph:
    """Build the graph of a stage.

    Args:
        request: What to make.
        server: Who is to make it.
        source: Where it starts from, for every stage but txt2img.

    Raises:
        BackendProtocolError: The server lacks a node, or there is no picture to start from.
        ValueError: A weight in a prompt is no number.
    """
    if request.stage == WORKFLOW:
        made = filled_graph(request.settings, None if source is None else source.name)
        output = str(request.settings[WORKFLOW_OUTPUT])
        nodes, steps = made.as_prompt(), steps_of(made)
        return StageGraph(nodes=nodes, size=None, steps=steps, output=output)
    settings = {name: value for name, value in request.settings.items() if value is not None}
    drawing = _Drawing(server, settings)
    if request.stage == "txt2img":
        size = drawing.txt2img()
    elif source is None:
        raise BackendProtocolError("no picture to start from", stage=request.stage)
    elif request.stage == "adetailer":
        size = drawing.adetailer(source)
    elif request.stage == "upscale" and settings.get("upscale_mode") != "img2img":
        size = drawing.upscale(source)
    else:
        size = drawing.img2img(source, request.stage)
    return StageGraph(
        nodes=drawing.graph.nodes, size=size, steps=drawing.steps, detailer=drawing.detailer
    )


def img2img_steps(steps: int, denoising_strength: float) -> int:
    """Return how many of the steps AUTOMATIC1111's img2img makes."""
    return int(min(denoising_strength, 0.999) * steps) + 1


class _Drawing:
    """A graph in the making."""

    def __init__(self, server: Server, settings: Mapping[str, Setting]) -> None:
        self.graph = Graph(server.info)
        self.steps: dict[str, int] = {}
        self.detailer: str | None = None
        self._server = server
        self._settings = settings

    def txt2img(self) -> tuple[int, int]:
        settings = self._settings
        size = int(settings["width"] or 0), int(settings["height"] or 0)
        loaded = self._loaded("prompt", "negative_prompt")
        empty = self.graph.add(
            "latent", "EmptyLatentImage", width=size[0], height=size[1], batch_size=1
        )
        hires = bool(settings.get("enable_hr"))
        # With hires fix AUTOMATIC1111 gives the refiner the second pass alone.
        first = pass_of(settings, int(settings["steps"] or 0), refined=not hires)
        latent = self._sample("sampler", loaded, (empty, 0), first)
        if hires:
            size = hires_size(settings, size) or size
            latent, loaded = self._hires(latent, loaded, size)
        self._end((self.graph.add("decode", "VAEDecode", samples=latent, vae=loaded.vae), 0))
        return size

    def img2img(self, source: Source, stage: str) -> tuple[int, int]:
        settings = self._settings
        size = (
            upscaled_size(settings, source.size)
            if stage == "upscale"
            else (int(settings.get("width") or 0), int(settings.get("height") or 0))
        )
        crop = self._crops() if stage == "upscale" else settings.get("resize_mode") == 1
        loaded = self._loaded("prompt", "negative_prompt")
        image = self._scaled(self._image(source), source.size, size, "lanczos", crop=crop)
        encoded = self.graph.add("encode", "VAEEncode", pixels=image, vae=loaded.vae)
        steps = int(settings["steps"] or 0)
        made = img2img_steps(steps, float(settings.get("denoising_strength") or 0))
        latent = self._sample(
            "sampler", loaded, (encoded, 0), pass_of(settings, steps, steps - made)
        )
        self._end((self.graph.add("decode", "VAEDecode", samples=latent, vae=loaded.vae), 0))
        return size

    def upscale(self, source: Source) -> tuple[int, int]:
        settings = self._settings
        size = upscaled_size(settings, source.size)
        image = self._image(source)
        enlarged = self._enlarged(image, str(settings["upscaler_1"]), source.size, size)
        visibility = float(settings.get("extras_upscaler_2_visibility") or 0)
        if settings.get("upscaler_2") and visibility:
            other = self._enlarged(image, str(settings["upscaler_2"]), source.size, size)
            blended = self.graph.add(
                "blend",
                "ImageBlend",
                image1=enlarged,
                image2=other,
                blend_factor=visibility,
                blend_mode="normal",
            )
            enlarged = (blended, 0)
        self._end(enlarged)
        return size

    def adetailer(self, source: Source) -> tuple[int, int]:
        settings = self._settings
        loaded = self._loaded("prompt", "negative_prompt", "ad_")
        model = str(settings["ad_model"])
        detector = self.graph.add("detector", "UltralyticsDetectorProvider", model_name=model)
        by_shape = {"segm_detector_opt": (detector, 1)} if model.startswith("segm") else {}
        steps = int(settings.get("ad_steps") or 20)
        made = img2img_steps(steps, float(settings.get("ad_denoising_strength") or 0))
        sampler = sampler_names.sampler(str(settings.get("ad_sampler")))
        self.detailer = self.graph.add(
            "detailer",
            "FaceDetailer",
            image=self._image(source),
            model=loaded.model,
            clip=loaded.clip,
            vae=loaded.vae,
            positive=loaded.positive,
            negative=loaded.negative,
            bbox_detector=(detector, 0),
            seed=int(settings.get("seed") or 0),
            steps=made,
            denoise=made / (steps + 0.5),  # of which the node makes `steps` again, never one less
            cfg=float(settings.get("ad_cfg_scale") or 0),
            sampler_name=sampler,
            scheduler=sampler_names.scheduler(_text(settings.get("ad_scheduler")), sampler),
            bbox_threshold=float(settings.get("ad_confidence") or 0),
            feather=int(settings.get("ad_mask_blur") or 0),
            bbox_dilation=int(settings.get("ad_dilate_erode") or 0),
            **by_shape,
        )
        self.steps[self.detailer] = made
        self._end((self.detailer, 0))
        return source.size

    def _hires(self, latent: Link, loaded: Loaded, size: tuple[int, int]) -> tuple[Link, Loaded]:
        settings = self._settings
        upscaler = str(settings.get("hr_upscaler") or "Latent")
        crop = bool(settings.get("hr_resize_x") and settings.get("hr_resize_y"))
        if upscaler in LATENT_MODES:
            enlarged = self.graph.add(
                "enlarge",
                "LatentUpscale",
                samples=latent,
                upscale_method=LATENT_MODES[upscaler],
                width=size[0],
                height=size[1],
                crop="center" if crop else "disabled",
            )
        else:
            decoded = self.graph.add("decode", "VAEDecode", samples=latent, vae=loaded.vae)
            image = self._enlarged((decoded, 0), upscaler, None, size, crop=crop)
            enlarged = self.graph.add("encode", "VAEEncode", pixels=image, vae=loaded.vae)
        loaded = self._loaded("hr_prompt", "hr_negative_prompt")
        made = int(settings.get("hr_second_pass_steps") or 0) or int(settings["steps"] or 0)
        strength = min(float(settings.get("denoising_strength") or 0), 0.999)
        if not strength:
            return (enlarged, 0), loaded
        steps = int(made / strength)
        second = pass_of(settings, steps, steps - made, hires=True)
        return self._sample(HIRES, loaded, (enlarged, 0), second), loaded

    def _sample(self, name: str, loaded: Loaded, latent: Link, one: Pass) -> Link:
        hires = name == HIRES
        names = ("hr_prompt", "hr_negative_prompt") if hires else ("prompt", "negative_prompt")
        refiner = None
        if one.switch is not None:
            checkpoint = str(self._settings["refiner_checkpoint"])
            refiner = self._loaded(*names, checkpoint=checkpoint)
        sampled = sample(self.graph, name, one, latent, loaded, refiner)
        self.steps |= sampled.steps
        return sampled.latent

    def _loaded(
        self, positive: str, negative: str, prefix: str = "", *, checkpoint: str | None = None
    ) -> Loaded:
        prompts = translate_prompts(
            self._prompt(positive, "prompt", prefix),
            self._prompt(negative, "negative_prompt", prefix),
            self._server,
        )
        return load(self.graph, self._server, self._settings, prompts, checkpoint)

    def _prompt(self, name: str, instead: str, prefix: str) -> str:
        own = self._settings.get(prefix + name) or self._settings.get(name)
        return str(own or self._settings.get(instead) or "")

    def _image(self, source: Source) -> Link:
        return self.graph.add("image", "LoadImage", image=source.name), 0

    def _crops(self) -> bool:
        settings = self._settings
        return settings.get("resize_mode") == 1 and settings.get("upscaling_crop") is not False

    def _enlarged(
        self,
        image: Link,
        upscaler: str,
        before: tuple[int, int] | None,
        size: tuple[int, int],
        *,
        crop: bool | None = None,
    ) -> Link:
        """Enlarge by an upscaler, and then to the very size by arithmetic."""
        if upscaler not in METHODS:
            model = self.graph.add("upscaler", "UpscaleModelLoader", model_name=upscaler)
            enlarged = self.graph.add(
                "enlarge", "ImageUpscaleWithModel", upscale_model=(model, 0), image=image
            )
            image, before = (enlarged, 0), None
        crop = self._crops() if crop is None else crop
        return self._scaled(image, before, size, METHODS.get(upscaler, "lanczos"), crop=crop)

    def _scaled(
        self,
        image: Link,
        before: tuple[int, int] | None,
        size: tuple[int, int],
        method: str,
        *,
        crop: bool,
    ) -> Link:
        if before == size:
            return image
        node = self.graph.add(
            "scale",
            "ImageScale",
            image=image,
            upscale_method=method,
            width=size[0],
            height=size[1],
            crop="center" if crop else "disabled",
        )
        return node, 0

    def _end(self, image: Link) -> None:
        self.graph.add(OUTPUT, "PreviewImage", images=image)


def _text(value: Setting) -> str | None:
    return value if isinstance(value, str) else None
