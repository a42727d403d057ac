"""Every kind of reader by name; its valid files are made when it is asked for."""

from __future__ import annotations

from functools import cache

from hostile.folders import FOLDERS
from hostile.hdf5 import HDF5
from hostile.target import Target
from hostile.texts import TEXTS
from hostile.zarr_folders import ZARR

MADE = FOLDERS | ZARR
NAMES = (*TEXTS, *HDF5, *MADE)


@cache
def target(name: str) -> Target:
    """The reader of a name."""
    return (TEXTS | HDF5)[name] if name in TEXTS | HDF5 else MADE[name]()
