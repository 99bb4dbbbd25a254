"""Faults of SD.Next's own, told as such."""

from __future__ import annotations

from stablenew.errors import BackendError, BackendRejectedError

_EXTRAS = "html_info"
"""What its `extra-single-image` fails at, once the picture is made and whatever was asked."""

STOPPED_SIZE = (512, 512)
"""Of the black picture that it answers a request with that was interrupted."""


def explained(error: BackendError, kind: str) -> BackendError:
    """Return a refusal, with what helps where it is the server's own fault.

    Args:
        error: What it said.
        kind: Of the call: `extras`, …
    """
    if kind != "extras" or not isinstance(error, BackendRejectedError):
        return error
    if _EXTRAS not in error.excerpt:
        return error
    return BackendRejectedError(
        f"{error}; this is a fault of the server's, which fails so whatever it is asked to upscale:"
        " upscale.upscale_mode=img2img works there",
        status=error.status,
        excerpt=error.excerpt,
    )
