"""Arithmetic on one core: BLAS would start a thread for each, which wait by spinning."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold BLAS to one thread: beside busy processes, threads that wait cost more than the work.

    Of the whole process. Of two that overlap, the one that ends last may leave it at one.
    """
    limited: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _thread_pools() -> ThreadpoolController:
    import numpy as np  # noqa: F401  # what is loaded by then is what can be limited
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
