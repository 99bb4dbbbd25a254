"""What needs a browser: collected by `make test-desktop`, which sees to what it needs."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("STABLENEW_DESKTOP") else ["test_*.py"]
