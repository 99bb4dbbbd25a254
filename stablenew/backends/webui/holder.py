"""Whose job a server is at."""

from __future__ import annotations

from enum import StrEnum


class Holder(StrEnum):
    """Whose job is running."""

    NOBODY = "nobody"
    OURS = "ours"
    OTHERS = "others"
    UNCLEAR = "unclear"
