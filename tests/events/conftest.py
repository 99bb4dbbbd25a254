from __future__ import annotations

import pytest

from tests.support import BOTH


@pytest.fixture(params=BOTH, ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param
