"""From the bytes of a picture to what is kept of it, and what it was not. Pure, but slow.

The server does not tell what it used, so a picture says what was sent.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import msgspec

from stablenew.backends.base import Picture, StageRequest
from stablenew.backends.comfyui.picture_chunks import with_texts
from stablenew.backends.comfyui.stage_graphs import StageGraph
from stablenew.backends.comfyui.workflows.workflow_stage import GRAPH, OUTPUT
from stablenew.backends.infotext import infotext, with_adetailer
from stablenew.backends.picture_header import read_picture_header
from stablenew.config.pipeline_config import Setting
from stablenew.config.workflow_config import WORKFLOW

_DRAWS = ("txt2img", "img2img", WORKFLOW)
_UNTOUCHED = 1
"""Steps of 255 by which a picture may differ that was only read and written again."""


def read_picture(
    data: bytes, request: StageRequest, graph: StageGraph, version: str, cached: bool
) -> Picture:
    """Return a picture with what it was made with.

    Args:
        data: As the server sent it.
        request: What was asked for.
        graph: What was sent, without what is for the server's cache alone.
        version: Of the server.
        cached: Whether the server had it already, and ran nothing but what wrote it.

    Raises:
        BackendProtocolError: It is no whole picture.
    """
    header = read_picture_header(data)
    size = (header.width, header.height)
    sent = (GRAPH, OUTPUT) if request.stage == WORKFLOW else ()
    settings = {
        name: value
        for name, value in request.settings.items()
        if value is not None and name not in sent
    }
    nodes = msgspec.json.encode(graph.nodes).decode()
    parameters = _parameters(request, settings, size, f"ComfyUI {version}")
    return Picture(
        data=with_texts(data, {"prompt": nodes, "parameters": parameters}),
        width=size[0],
        height=size[1],
        settings=settings,
        warnings=tuple(_warnings(data, request, graph, size, cached)),
    )


def _parameters(
    request: StageRequest, settings: Mapping[str, Setting], size: tuple[int, int], version: str
) -> str:
    """Return the infotext: what a stage does not draw says what its source was drawn with.

    The size is that of the first pass, as AUTOMATIC1111 has it.
    """
    drawn = request.stage in _DRAWS or settings.get("upscale_mode") == "img2img"
    if request.image is not None and not drawn:
        told = read_picture_header(request.image).infotext
        return with_adetailer(told, settings) if request.stage == "adetailer" else told
    return infotext({"width": size[0], "height": size[1], **settings}, version)


def _warnings(
    data: bytes, request: StageRequest, graph: StageGraph, size: tuple[int, int], cached: bool
) -> Iterator[str]:
    if graph.size is not None and graph.size != size:
        asked, got = (f"{width}x{height}" for width, height in (graph.size, size))
        yield f"asked for {asked} pixels, got {got}"
    if cached:
        yield "the server had it in its cache: nothing was sampled anew"
    if graph.detailer and request.image is not None and _unchanged(request.image, data):
        yield f"the picture is unchanged: {request.settings.get('ad_model')} found nothing in it"


def _unchanged(before: bytes, after: bytes) -> bool:
    """Return whether a picture is the one that it was made from."""
    import numpy as np
    from PIL import Image

    one, other = (
        np.asarray(Image.open(io.BytesIO(each)).convert("RGB"), dtype=np.int16)
        for each in (before, after)
    )
    return one.shape == other.shape and int(np.abs(one - other).max(initial=0)) <= _UNTOUCHED
