"""What is known of a ComfyUI server."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from stablenew.backends.comfyui import file_names
from stablenew.backends.comfyui.object_info import ObjectInfo

DETAILER = ("FaceDetailer", "UltralyticsDetectorProvider")
"""The nodes of the Impact packs that find faces and draw them anew."""

_INTERRUPTS_BY_ID = (0, 3, 57)


@attrs.frozen(kw_only=True)
class Server:
    """A server.

    Attributes:
        version: As it says itself.
        info: Its nodes.
        gpu: What it draws on; "" where it does not tell.
        jobs: Whether it has `/api/jobs`.
        embeddings: By the word in lower case that stands for one, what it takes.
    """

    version: str
    info: ObjectInfo = attrs.field(repr=False)
    gpu: str = ""
    jobs: bool = True
    embeddings: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def interrupts_by_id(self) -> bool:
        """Whether an interrupt stops the job that it names and no other."""
        numbers = tuple(map(int, re.findall(r"\d+", self.version)[:3]))
        return not numbers or numbers >= _INTERRUPTS_BY_ID

    @property
    def samplers(self) -> tuple[str, ...]:
        """Its own names."""
        return self.info.choices("KSampler", "sampler_name")

    @property
    def schedulers(self) -> tuple[str, ...]:
        """Its own names."""
        return self.info.choices("KSampler", "scheduler")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Files, as it names them."""
        return self.info.choices("CheckpointLoaderSimple", "ckpt_name")

    @property
    def vaes(self) -> tuple[str, ...]:
        """Files, as it names them."""
        return self.info.choices("VAELoader", "vae_name")

    @property
    def loras(self) -> tuple[str, ...]:
        """Files, as it names them."""
        return self.info.choices("LoraLoader", "lora_name")

    @property
    def upscale_models(self) -> tuple[str, ...]:
        """Files, as it names them."""
        return self.info.choices("UpscaleModelLoader", "model_name")

    @property
    def detectors(self) -> tuple[str, ...]:
        """Files, as it names them; none where it cannot draw anew what they find."""
        if not all(name in self.info for name in DETAILER):
            return ()
        return self.info.choices("UltralyticsDetectorProvider", "model_name")

    def lora_file(self, name: str) -> str | None:
        """Return the file that a tag means, None where there is none."""
        return file_names.spellings(self.loras).get(name.lower())


def embedding_words(listed: object) -> dict[str, str]:
    """Return what `/embeddings` lists, by the word in a prompt that stands for it.

    One with a blank in its name cannot be named in a prompt.
    """
    names = [str(each) for each in listed] if isinstance(listed, list) else []
    words = {file_names.stem(name + ".pt").lower(): name for name in reversed(names)}
    return {word: name for word, name in words.items() if word and not re.search(r"\s", name)}
