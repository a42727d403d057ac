"""The expression out of a MuData file (.h5mu), without MuData."""

from __future__ import annotations

from pathlib import Path

import h5py
from anndata import AnnData
from anndata.io import read_elem

from galenic.data.checks import first
from galenic.data.read.h5ad import SPARSE
from galenic.data.strangers.hdf5 import require_sound
from galenic.data.strangers.memory import little_memory
from galenic.data.strangers.places import require_places_in

EXPRESSION = ("rna", "gex")
"""Names of the modality of expression, the usual one first."""


def is_mudata(path: str | Path) -> bool:
    """Whether a file is HDF5 that holds modalities."""
    if not h5py.is_hdf5(path):
        return False
    with little_memory(), h5py.File(path) as file:
        # Not by its attribute: until a file is known to be sound, texts in it are not read.
        return "mod" in file and "X" not in file


def read_expression(path: str | Path) -> AnnData:
    """The modality of expression, whole: the one called rna or gex, or the only one.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        If no modality is called so and there are several, or the file is damaged.
    """
    path = Path(path)
    require_sound(path)
    with h5py.File(path) as file:
        names = list(file["mod"])
        name = next((one for one in EXPRESSION if one in names), names[0] if len(names) == 1 else None)
        if name is None:
            raise ValueError(
                f"the modality of expression should be called {' or '.join(EXPRESSION)}; {path.name} has "
                f"{first(names) or 'none'}. Write that modality by itself: mudata.mod[name].write_h5ad(file)."
            )
        inside = file[f"mod/{name}"]
        places = [place for part in SPARSE for place in _matrices(inside, part)]
        require_places_in(file, [f"mod/{name}/{place}" for place in places], path.name)
        found = read_elem(inside)
    if not isinstance(found, AnnData):
        raise ValueError(
            f"a modality should be an AnnData; {name!r} of {path.name} is a {type(found).__name__}. Write the file "
            "again with MuData.write."
        )
    return found


def _matrices(group: h5py.Group, part: str) -> list[str]:
    found = group.get(part)
    if not isinstance(found, h5py.Group):
        return []
    return [part] if part in ("X", "raw/X") else [f"{part}/{name}" for name in found]
