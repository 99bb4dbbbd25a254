"""Which proxy of the environment stands before a server."""

from __future__ import annotations

import socket

import anyio
import pytest

from stablenew.backends.proxies import proxy_before
from stablenew.errors import ConfigError

BOTH_LOOPS = True

PROXY = "http://me:secret@proxy.example:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("ALL_PROXY", PROXY)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[object]:
        if not addresses:
            raise socket.gaierror("no such name")
        return [(0, 0, 0, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1.2.3", "[::1]", "localhost", "LOCALHOST", "gpu.localhost", "0.0.0.0"],
)
async def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    assert await proxy_before(f"http://{host}:7860") is None


@pytest.mark.parametrize(
    ("addresses", "direct"),
    [
        (("127.0.0.1",), True),
        (("::1", "127.0.1.1"), True),
        (("10.0.0.7",), False),
        (("127.0.0.1", "10.0.0.7"), False),
        ((), False),
    ],
)
async def test_a_name_that_resolves_to_this_machine_is_this_machine(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...], direct: bool
) -> None:
    resolve_to(monkeypatch, *addresses)
    assert (await proxy_before("http://gpu.example:7860") is None) == direct


async def test_a_name_that_nobody_knows_in_time_is_left_to_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stablenew.backends.proxies._RESOLVED_WITHIN", 0.01)
    monkeypatch.setattr(anyio, "getaddrinfo", lambda *_, **__: anyio.sleep_forever())
    assert await proxy_before("http://gpu.example:7860") is not None


@pytest.mark.parametrize(
    ("excepted", "direct"),
    [
        ("", False),
        ("gpu.example", True),
        (".example", True),
        ("*.example", True),
        ("*", True),
        ("other, *", True),
        ("gpu.example:7860", True),
        ("gpu.example:1", False),
        ("u.example", False),
        ("10.0.0.0/8", False),
    ],
)
async def test_no_proxy_is_honoured(
    monkeypatch: pytest.MonkeyPatch, excepted: str, direct: bool
) -> None:
    resolve_to(monkeypatch)
    monkeypatch.setenv("NO_PROXY", excepted)
    assert (await proxy_before("http://gpu.example:7860") is None) == direct


@pytest.mark.parametrize(
    ("url", "excepted", "direct"),
    [
        ("http://10.1.2.3:7860", "10.0.0.0/8", True),
        ("http://11.1.2.3:7860", "10.0.0.0/8", False),
        ("http://[fd00::1]:7860", "fd00::/16", True),
        ("http://[fd00::1]:7860", "fd00::1", True),
        ("http://10.1.2.3:7860", "example, 10.1.2.3", True),
    ],
)
async def test_no_proxy_may_name_addresses_and_networks(
    monkeypatch: pytest.MonkeyPatch, url: str, excepted: str, direct: bool
) -> None:
    monkeypatch.setenv("NO_PROXY", excepted)
    assert (await proxy_before(url) is None) == direct


async def test_the_proxy_of_the_urls_own_kind_goes_first_and_is_shown_without_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "secure.example:1")
    proxies = [await proxy_before(f"{scheme}://10.1.2.3") for scheme in ("http", "https")]
    assert [each and each.address for each in proxies] == [
        "http://proxy.example:3128",
        "http://secure.example:1",
    ]
    assert proxies[0] is not None
    assert proxies[0].url == PROXY
    assert "secret" not in repr(proxies[0])
    assert proxies[0].way_around == "NO_PROXY=10.1.2.3 goes around it"


@pytest.mark.parametrize("proxy", ["nonsense://here", "http://", "http://x:port", "http://x:0"])
async def test_a_proxy_that_is_none_is_an_error_without_secrets(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.replace("://", "://me:secret@"))
    with pytest.raises(ConfigError, match=r"socks5h with HOST:PORT; NO_PROXY=10.1.2.3") as caught:
        await proxy_before("http://10.1.2.3:7860")
    assert "secret" not in str(caught.value)
