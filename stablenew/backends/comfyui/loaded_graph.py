"""The part of a graph that loads a model and reads the prompts: alike in every stage. Pure.

The server keeps the results of the nodes that its last prompt had. Alike in each of ours, they are
loaded once.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from stablenew.backends.comfyui.graph import Graph, Link
from stablenew.backends.comfyui.prompt_words import PromptWords, translated
from stablenew.backends.comfyui.server import Server
from stablenew.config.pipeline_config import Setting

OWN_VAE = "Automatic"
"""In place of a VAE's name: that of the checkpoint."""


@attrs.frozen(kw_only=True)
class Loaded:
    """What a sampler takes."""

    model: Link
    clip: Link
    vae: Link
    positive: Link
    negative: Link


@attrs.frozen
class Prompts:
    """A prompt and a negative one, in ComfyUI's language."""

    positive: PromptWords
    negative: PromptWords


def translate_prompts(positive: str, negative: str, server: Server) -> Prompts:
    """Return two prompts in ComfyUI's language.

    Raises:
        ValueError: A weight is no number.
    """
    return Prompts(translated(positive, server.embeddings), translated(negative, server.embeddings))


def load(
    graph: Graph,
    server: Server,
    settings: Mapping[str, Setting],
    prompts: Prompts,
    checkpoint: str | None = None,
) -> Loaded:
    """Add the nodes that load what settings and prompts name.

    Args:
        graph: Where they go.
        server: Whose files they are.
        settings: Of the stage.
        prompts: With what their tags ask for.
        checkpoint: In place of the one that the settings name.
    """
    name = checkpoint or str(settings["model"])
    loader = graph.add("model", "CheckpointLoaderSimple", ckpt_name=name)
    model, clip, vae = (loader, 0), (loader, 1), (loader, 2)
    for tag in prompts.positive.loras:
        lora = graph.add(
            "lora",
            "LoraLoader",
            lora_name=server.lora_file(tag.name) or tag.name,
            strength_model=tag.model,
            strength_clip=tag.clip,
            model=model,
            clip=clip,
        )
        model, clip = (lora, 0), (lora, 1)
    layers = int(settings.get("clip_skip") or 1)
    if layers > 1:
        clip = (graph.add("clip", "CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-layers), 0)
    if settings.get("vae", OWN_VAE) != OWN_VAE:
        vae = (graph.add("vae", "VAELoader", vae_name=str(settings["vae"])), 0)
    texts = [
        graph.add(name, "CLIPTextEncode", clip=clip, text=words.text)
        for name, words in (("positive", prompts.positive), ("negative", prompts.negative))
    ]
    return Loaded(model=model, clip=clip, vae=vae, positive=(texts[0], 0), negative=(texts[1], 0))
