"""Which pack of custom nodes has a class: the commonest, for what is not installed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_IMPACT, _EASY = "ComfyUI-Impact-Pack", "ComfyUI-Easy-Use"
_PACKS: Mapping[str, str] = {
    r".* \(rgthree\)": "rgthree-comfy",
    r"VHS_.*": "ComfyUI-VideoHelperSuite",
    r"ttN .*": "ComfyUI_tinyterraNodes",
    r"easy .*": _EASY,
    r"CR .*": "ComfyUI_Comfyroll_CustomNodes",
    r"ETN_.*": "comfyui-tooling-nodes",
    r"IPAdapter.*|PrepImageForClipVision": "ComfyUI_IPAdapter_plus",
    r"UltimateSDUpscale.*": "ComfyUI_UltimateSDUpscale",
    r"UltralyticsDetectorProvider": "ComfyUI-Impact-Subpack",
    r"(FaceDetailer|Detailer|SEGS|Bbox|BBOX_|Segm|Impact).*|SAMLoader": _IMPACT,
    r"(ToDetailer|FromDetailer|FromBasic)Pipe.*|ToBasicPipe|KSamplerProvider": _IMPACT,
    r"TwoSamplersFor.*|IterativeLatentUpscale|PixelKSampleUpscalerProvider.*": _IMPACT,
    r"Efficient Loader|Eff\. Loader.*|KSampler (Adv\. )?\(Efficient\)": "efficiency-nodes-comfyui",
    r"LoRA Stacker|XY Plot|HighRes-Fix Script": "efficiency-nodes-comfyui",
    r".*Preprocessor": "comfyui_controlnet_aux",
    r"ACN_.*|ControlNetLoaderAdvanced": "ComfyUI-Advanced-ControlNet",
    r"ADE_.*": "ComfyUI-AnimateDiff-Evolved",
    r"(UnetLoader|CLIPLoader|DualCLIPLoader|TripleCLIPLoader)GGUF.*": "ComfyUI-GGUF",
    r".*\|pysssss": "ComfyUI-Custom-Scripts",
    r".*\+": "ComfyUI_essentials",
    r"ImageResizeKJ.*|INTConstant|FloatConstant|StringConstant.*|.*KJ": "ComfyUI-KJNodes",
    r"WanVideo.*": "ComfyUI-WanVideoWrapper",
    r"Image (Save|Load|Filter|Blend|Resize).*|Text Multiline": "was-node-suite-comfyui",
    r"Layer(Mask|Utility|Color|Style|Filter): .*": "ComfyUI_LayerStyle",
    r"(Apply)?InstantID.*": "ComfyUI_InstantID",
    r"(Apply|Load)?Pulid.*": "PuLID_ComfyUI",
    r"ReActor.*": "ComfyUI-ReActor",
    r"FluxForwardOverrider|ApplyTeaCachePatch": "ComfyUI_Patches_ll",
    r"TeaCache.*": "ComfyUI-TeaCache",
    r"Nunchaku.*": "ComfyUI-nunchaku",
    r"SaveImageWebsocket": "ComfyUI itself (its folder custom_nodes/websocket_image_save)",
}


def pack_of(kind: str, told: str = "") -> str:
    """Return the pack that has a class of nodes; "" where nobody knows.

    Args:
        kind: The class.
        told: What the file says of it.
    """
    if told and told != "comfy-core":
        return told
    return next((pack for names, pack in _PACKS.items() if re.fullmatch(names, kind)), "")


def unknown_classes(nodes: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return a line for each class of nodes that a server lacks.

    Args:
        nodes: By id: the class, and the pack that the file tells, "" where it does not.
    """
    by_kind: dict[str, list[str]] = {}
    packs: dict[str, str] = {}
    for name, (kind, told) in nodes.items():
        by_kind.setdefault(kind, []).append(name)
        packs.setdefault(kind, pack_of(kind, told))
    lines = []
    for kind, names in by_kind.items():
        where = f"node{'s' if len(names) > 1 else ''} {', '.join(names[:6])}"
        where += ", …" if len(names) > 6 else ""
        has = f"; {packs[kind]} has it" if packs[kind] else ""
        lines.append(f"{where}: the server has no {kind!r}{has}")
    return lines
