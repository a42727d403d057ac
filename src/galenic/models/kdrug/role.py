"""A fitted teacher or student: its closed-form start, its networks, and how the two are joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import PerDrug, locate
from galenic.models.baselines.completion import KernelCompletion
from galenic.models.baselines.means import DrugMean
from galenic.models.kdrug.encode import Arrays, cell_arrays, drug_arrays, grid
from galenic.models.kdrug.network import Fusion, Network

if TYPE_CHECKING:
    from galenic.models.kdrug.model import KDRUG


@dataclass(frozen=True)
class Role:
    r"""Answers of a teacher or student.

    For a drug :math:`d` of fitting, :math:`s_{cd} + b\,\sigma f(c, d)`: the start :math:`s` (its own part already
    weighted by :math:`1 - b`), and the networks :math:`f`. A new drug is the weighted sum of known ones that its
    structure asks for, and, with the share ``new_share``, what the networks read from its graph.

    Attributes
    ----------
    start
        Fitted closed-form part.
    nets
        One network a member.
    features, arrays
        What it reads of a cell, and how it is standardised.
    identities
        The drugs of fitting.
    share, new_share, scale
        :math:`b`, its like for a new drug, and :math:`\sigma`.
    published
        Whether the networks alone answer, on the published scale.
    """

    start: PerDrug
    nets: list[Network]
    features: dict[str, list[str]]
    arrays: Mapping[str, np.ndarray]
    identities: pd.DataFrame
    share: float
    new_share: float
    scale: float
    published: bool

    def members(self, data: ResponseData, draw: int | None = None) -> np.ndarray:
        """Predictions of each member, ``(n_members, n_pairs)``; with dropout on, seeded by ``draw``, if it is given."""
        # Only what is asked for is encoded.
        used_cells, cell = np.unique(data.cell_rows, return_inverse=True)
        used_drugs, drug = np.unique(data.drug_rows, return_inverse=True)
        table = self.grids(data.cells[used_cells], data.drugs.iloc[used_drugs], draw)
        answers: np.ndarray = table[:, cell, drug]
        return answers

    def grids(self, cells: AnnData, drugs: pd.DataFrame, draw: int | None = None) -> np.ndarray:
        """Predictions for every cell and drug, ``(n_members, n_cells, n_drugs)``."""
        cells = with_all(cells, self.features)
        inputs = cell_arrays(cells, self.features, self.arrays, list(self.features)[:1])
        if self.published:
            graphs = drug_arrays(drugs, self.identities)
            return np.stack([denormalise(grid(net, inputs, graphs, draw)) for net in self.nets])
        weights = self.start._drug_weights(drugs)
        used = np.flatnonzero((weights != 0).any(axis=0))
        base = self.start._grid(cells) @ weights.T
        known = drug_arrays(self.identities.iloc[used], self.identities)
        nets = self._nets(inputs, known, draw) @ weights[:, used].T
        answers = base + self.share * nets
        new = np.flatnonzero((locate(drugs, self.identities) < 0) & drugs["smiles"].notna().to_numpy())
        if len(new) and self.new_share:
            centre = weights[new] @ self.start.arrays_["drug_mean"]
            read = centre + self._nets(inputs, drug_arrays(drugs.iloc[new], self.identities), draw)
            answers[:, :, new] += self.new_share * (read - answers[:, :, new])
        return answers

    def _nets(self, cells: Arrays, drugs: Arrays, draw: int | None = None) -> np.ndarray:
        """Deviations that the networks predict, ``(n_members, n_cells, n_drugs)``."""
        if not self.share and not self.new_share:
            return np.zeros((len(self.nets), len(next(iter(cells.values()))), len(drugs["mask"])))
        return self.scale * np.stack([grid(net, cells, drugs, draw) for net in self.nets])


def with_all(cells: AnnData, features: Mapping[str, list[str]]) -> AnnData:
    """The cells with every modality but expression, as rows of NaN where nothing of it was measured."""
    absent = [name for name in features if name not in ("expression", "tissue") and name not in cells.obsm]
    if absent:
        cells = cells.copy()
        for name in absent:
            cells.obsm[name] = pd.DataFrame(np.nan, index=cells.obs_names, columns=features[name])
    return cells


def new_start(model: KDRUG, using: str, features: Mapping[str, Any]) -> PerDrug:
    """The unfitted closed-form part of the student or the teacher."""
    if model.start == "means" or model.as_published:
        return DrugMean(new_drugs="kernel")
    inputs = tuple(modalities(model, using, features))
    # One round: what known cells' own responses add is found again once the networks have their share.
    return KernelCompletion(inputs=inputs, n_rounds=1, n_sweeps=1, seed=model.seed)


def build(
    model: KDRUG, using: str, widths: Mapping[str, int], n_identities: int, fusion: Fusion | None = None
) -> Network:
    """An untrained network of the student or the teacher."""
    if fusion is None:
        fusion = "plain" if using == "student" or model.stages == 1 else model.fusion
    return Network(
        widths,
        fusion=fusion,
        n_latent=model.n_latent,
        encoder=model.encoder,
        drug_encoder=model.drug_encoder,
        head=model.head,
        n_drugs=n_identities if model.identity else 0,
        hidden=model.hidden,
        dropout=model.dropout,
        n_heads=model.n_heads,
        as_published=model.as_published,
    )


def modalities(model: KDRUG, using: str, features: Mapping[str, Any]) -> list[str]:
    """What a role reads; tissues only where some are known."""
    return [name for name in (model.teacher if using == "teacher" else model.student) if name in features]


def restore(model: KDRUG, using: str, spec: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Role:
    """A role from what was learned."""
    told = spec["roles"][using]
    start = new_start(model, using, spec["inputs"])
    prefix = f"{using}.start."
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    start._restore(told["start"] | {"drugs": spec["drugs"], "unit": spec["unit"]}, own)
    names = modalities(model, using, spec["inputs"])
    features = {name: spec["inputs"][name] for name in names}
    drugs = pd.DataFrame(spec["drugs"]).set_index("drug")
    nets = []
    for member in range(told["n_members"]):
        with torch.device("meta"):
            net = build(model, using, {name: len(wanted) for name, wanted in features.items()}, len(drugs))
        prefix = f"{using}.{member}."
        state = {
            name.removeprefix(prefix): torch.from_numpy(array.copy())
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        net.load_state_dict(state, assign=True)
        nets.append(net.eval())
    return Role(
        start, nets, features, arrays, drugs, told["share"], told["new_share"], told["scale"], model.as_published
    )


def normalise(response: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x / 10))``: ln IC50 on the published scale, from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-0.1 * response)))


def denormalise(target: np.ndarray) -> np.ndarray:
    """The inverse of :func:`normalise`, finite for every output of a sigmoid."""
    target = np.clip(target, 1e-6, 1 - 1e-6)
    return np.asarray(10 * np.log(target / (1 - target)))
