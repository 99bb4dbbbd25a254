"""A backend on each worker of a Dask cluster; Dask itself is imported where it is used."""

from __future__ import annotations

NOT_INSTALLED = "dask: is not installed; pip install 'stablenew[dask]'"
