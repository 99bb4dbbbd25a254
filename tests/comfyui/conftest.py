"""Leaves out what needs a server that is not there."""

from __future__ import annotations

import os

_REAL = ["test_real_server.py", "test_real_workflows.py"]
collect_ignore = [] if os.environ.get("STABLENEW_REAL_COMFYUI_URL") else _REAL
