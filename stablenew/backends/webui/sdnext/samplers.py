"""Which sampler a picture of SD.Next was really made with.

A sampler that does not suit the model is replaced by the model's own without a word: `info` and
the infotext's `Sampler` go on naming what was asked for. The class that ran stands in the
infotext's `Scheduler`.
"""

from __future__ import annotations

from collections.abc import Mapping

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "EulerDiscreteScheduler": ("Euler", "Euler SGM"),
    "EulerAncestralDiscreteScheduler": ("Euler a",),
    "EDMEulerScheduler": ("Euler EDM",),
    "FlowMatchEulerDiscreteScheduler": ("Euler FlowMatch",),
    "DPMSolverMultistepScheduler": (
        *("DPM++", "DPM++ 2M", "DPM++ 3M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 3M SDE"),
    ),
    "DPMSolverSinglestepScheduler": ("DPM++ 1S",),
    "EDMDPMSolverMultistepScheduler": ("DPM++ 2M EDM",),
    "CosineDPMSolverMultistepScheduler": ("DPM++ Cosine",),
    "DPMSolverSDEScheduler": ("DPM SDE",),
    "DPMSolverMultistepInverseScheduler": (
        *("DPM++ Inverse", "DPM++ 2M Inverse", "DPM++ 3M Inverse"),
    ),
    "UniPCMultistepScheduler": ("UniPC",),
    "FlowUniPCMultistepScheduler": ("UniPC FlowMatch",),
    "DEISMultistepScheduler": ("DEIS",),
    "SASolverScheduler": ("SA Solver",),
    "DCSolverMultistepScheduler": ("DC Solver",),
    "HeunDiscreteScheduler": ("Heun",),
    "FlowMatchHeunDiscreteScheduler": ("Heun FlowMatch",),
    "KDPM2DiscreteScheduler": ("KDPM2",),
    "KDPM2AncestralDiscreteScheduler": ("KDPM2 a",),
    "ERSDEScheduler": ("ER-SDE", "ER-SDE 2M", "ER-SDE 3M"),
    "DDIMScheduler": ("DDIM",),
    "DDIMParallelScheduler": ("DDIM Parallel",),
    "DDPMScheduler": ("DDPM",),
    "DDPMParallelScheduler": ("DDPM Parallel",),
    "PNDMScheduler": ("PNDM",),
    "IPNDMScheduler": ("IPNDM",),
    "LMSDiscreteScheduler": ("LMSD",),
    "LCMScheduler": ("LCM",),
    "FlowMatchLCMScheduler": ("LCM FlowMatch",),
    "TCDScheduler": ("TCD",),
    "TDDScheduler": ("TDD",),
    "PeRFlowScheduler": ("PeRFlow",),
    "UFOGenScheduler": ("UFOGen",),
    "CMStochasticIterativeScheduler": ("CMSI",),
    "VDMScheduler": ("VDM Solver",),
    "BDIA_DDIMScheduler": ("BDIA DDIM",),
    "CogVideoXDDIMScheduler": ("CogX DDIM",),
}
"""The classes of diffusers, each with the samplers that it is. One that is not here is believed."""

_CLASS_OF = {name: known for known, names in _CLASSES.items() for name in names}
_FLOW = " FlowMatch"


def class_used(pairs: Mapping[str, str]) -> str:
    """Return the class that ran, as an infotext tells it; "" where it does not."""
    return pairs.get("Scheduler", "")


def another_sampler(name: str, pairs: Mapping[str, str]) -> str:
    """Return the class that ran in the place of a sampler; "" where it is that sampler's.

    Args:
        name: The sampler that was asked for; where the model wants it, its variant for flow
            matching is taken, or the one without.
        pairs: Of the picture's infotext.
    """
    asked = (name, name + _FLOW, name.removesuffix(_FLOW))
    right = {_CLASS_OF[each] for each in asked if each in _CLASS_OF}
    used = class_used(pairs)
    return used if name in _CLASS_OF and used and used not in right else ""
