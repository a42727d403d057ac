"""What KDRUG reads: cells and drugs of a container as arrays of a network, and the answers of a network for them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from galenic.data.checks import first
from galenic.data.drugs import N_ATOM_FEATURES, graphs
from galenic.data.expression import modality
from galenic.models.baselines.baseline import locate
from galenic.models.baselines.inputs import read_inputs
from galenic.models.kdrug.network import Network
from galenic.train import seeded

Arrays = dict[str, np.ndarray]

CELLS, PAIRS = 4096, 2**16
"""Cells that are encoded at once, and pairs that are answered at once."""


def cell_arrays(
    cells: AnnData, features: dict[str, list[str]], arrays: Mapping[str, np.ndarray], required: Sequence[str] = ()
) -> Arrays:
    """Standardised values of each modality by name, and ``"has <name>"``: whether a cell was measured in it.

    Raises
    ------
    ValueError
        If a cell lacks a modality of ``required``.
    """
    found = {}
    for name in features:
        has = measured(cells, name)
        if name in required and not has.all():
            raise ValueError(
                f"{name} is needed of every cell; {(~has).sum():,} of {cells.n_obs:,} cells have none "
                f"(first: {first(cells.obs_names[~has])}). Leave their pairs out: data.complete({name!r})."
            )
        found[f"has {name}"] = has
    known = {name: wanted for name, wanted in features.items() if found[f"has {name}"].any()}
    with warnings.catch_warnings():
        # A cell without a privileged modality is what the network was trained for.
        warnings.filterwarnings("ignore", message=".*taken for the average cell")
        blocks = read_inputs(cells, known, dict(arrays))
    for name, wanted in features.items():
        found[name] = blocks.get(name, np.zeros((cells.n_obs, len(wanted)))).astype(np.float32)
        if name == "tissue":
            found["has tissue"] = found["has tissue"] & found[name].any(axis=1)
    return found


def measured(cells: AnnData, name: str) -> np.ndarray:
    """Which cells have a modality, ``(n_cells,)`` bool."""
    if name == "tissue":
        return cells.obs["tissue"].notna().to_numpy() if "tissue" in cells.obs else np.zeros(cells.n_obs, dtype=bool)
    if name != "expression" and name not in cells.obsm:
        return np.zeros(cells.n_obs, dtype=bool)
    has: np.ndarray = ~np.isnan(modality(cells, name).to_numpy(dtype=np.float64)).all(axis=1)
    return has


def drug_arrays(drugs: pd.DataFrame, known: pd.DataFrame) -> Arrays:
    """Atom graphs of drugs, and the row of each in the table of ``known`` drugs (-1 where there is none).

    A drug without a structure has no atoms; it is told apart by its row alone.
    """
    smiles = drugs["smiles"] if "smiles" in drugs else pd.Series(None, index=drugs.index, dtype="object")
    has = smiles.notna().to_numpy()
    some = graphs(list(smiles[has]))
    n_atoms = max(1, some.atoms.shape[1])
    arrays = {
        "atoms": np.zeros((len(drugs), n_atoms, N_ATOM_FEATURES), dtype=np.float32),
        "bonds": np.zeros((len(drugs), n_atoms, n_atoms), dtype=bool),
        "mask": np.zeros((len(drugs), n_atoms), dtype=bool),
    }
    if has.any():
        arrays["atoms"][has], arrays["bonds"][has], arrays["mask"][has] = some.atoms, some.bonds, some.mask
    return {**arrays, "known": locate(drugs, known)}


@contextmanager
def answering(net: Network, draw: int | None = None) -> Iterator[torch.device]:
    """A network as it answers: without gradients, in double precision, left afterwards as it came; gives its device.

    In double precision an answer does not depend on what is asked beside it. With a ``draw``, dropout stays on and
    that number is its seed (Monte Carlo dropout).
    """
    mode = net.training
    net.train(draw is not None).double()
    try:
        with torch.no_grad(), seeded(draw or 0):
            yield next(net.parameters()).device
    finally:
        net.float().train(mode)


def grid(net: Network, cells: Arrays, drugs: Arrays, draw: int | None = None) -> np.ndarray:
    """Predictions for every cell and drug, each encoded once, ``(n_cells, n_drugs)``."""
    with answering(net, draw) as place:
        main, others = encode_cells(net, cells, place)
        vectors = net.encode_drugs(tensors(drugs, place))
        step = max(1, PAIRS // max(1, len(vectors)))
        parts = [net.grid(main[at : at + step], others[at : at + step], vectors) for at in range(0, len(main), step)]
        found: np.ndarray = torch.cat(parts).cpu().numpy()
        return found


def vectors(net: Network, cells: Arrays, drugs: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Encoded vectors of cells (the main modality's) and of drugs."""
    with answering(net) as place:
        main = encode_cells(net, cells, place)[0]
        return main.cpu().numpy(), net.encode_drugs(tensors(drugs, place)).cpu().numpy()


def encode_cells(net: Network, cells: Arrays, place: torch.device) -> tuple[Tensor, Tensor]:
    """Vectors of cells, a few thousand at a time."""
    n_cells = len(next(iter(cells.values())))
    parts = [
        net.encode_cells(tensors({name: values[at : at + CELLS] for name, values in cells.items()}, place))
        for at in range(0, n_cells, CELLS)
    ]
    main, others = (torch.cat(part) for part in zip(*parts, strict=True))
    return main, others


def tensors(arrays: Mapping[str, np.ndarray], place: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Arrays on a device, fractions in double precision."""
    found = {name: torch.from_numpy(np.ascontiguousarray(values)).to(place) for name, values in arrays.items()}
    return {name: values.double() if values.is_floating_point() else values for name, values in found.items()}
