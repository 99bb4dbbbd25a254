"""Why there was no answer from a server, in words that help."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

_NOT_TRUSTED = (18, 19, 20, 21, 27)
"""OpenSSL's codes for not knowing who signed a certificate; others are its dates and names."""

_SILENT = {"ReadTimeout": "it took the connection and said nothing", "ConnectTimeout": "timed out"}


def why_away(error: httpx2.TransportError) -> str:
    """Return what an error of HTTP means."""
    reason: BaseException | None = error
    while reason is not None and not (isinstance(reason, OSError) and reason.errno):
        reason = reason.__cause__ or reason.__context__
    return _said(reason) or str(error) or _SILENT.get(type(error).__name__, "no answer")


def _said(reason: BaseException | None) -> str:
    """Return what an operating system's error means."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        if reason.verify_code in _NOT_TRUSTED:
            how = "name it, or who signed it, with SSL_CERT_FILE=FILE.pem"
            return f"its certificate is not trusted ({reason.verify_message}); {how}"
        return f"its certificate does not hold ({reason.verify_message})"
    if isinstance(reason, ssl.SSLError):
        return f"no TLS ({reason.reason or reason}); http:// perhaps?"
    if isinstance(reason, socket.gaierror):
        return f"cannot find that host ({reason.strerror})"
    if isinstance(reason, OSError) and reason.errno is not None:
        return os.strerror(reason.errno)
    return ""
