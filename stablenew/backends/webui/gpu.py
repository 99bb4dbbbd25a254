"""What a server draws on, as far as it tells: SD.Next names its GPUs, others how much memory."""

from __future__ import annotations

from collections.abc import Mapping

from stablenew._convert import is_a_number
from stablenew.backends.webui.server import names

_GIB = 2**30


def read_gpu(memory: object, listed: object) -> str:
    """Return what a server draws on; "" where it does not tell.

    Args:
        memory: What `/sdapi/v1/memory` answers.
        listed: What `/sdapi/v1/gpu` answers.
    """
    if named := names(listed, "gpu") or names(listed):  # older ones say `name`
        return ", ".join(dict.fromkeys(named))
    cuda = memory.get("cuda") if isinstance(memory, Mapping) else None
    if not isinstance(cuda, Mapping):
        return ""
    system = cuda.get("system")
    total = system.get("total") if isinstance(system, Mapping) else None
    if is_a_number(total):
        return f"a GPU of {float(total) / _GIB:.0f} GB"
    return "no CUDA" if cuda.get("error") == "unavailable" else ""
