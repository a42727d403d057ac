"""Why KDRUG predicts what it does: contributions of genes and other modalities, and of atoms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from galenic.data.drugs import atom_names
from galenic.explain.attribution import integrated_gradients
from galenic.models.baselines.baseline import locate
from galenic.models.baselines.inputs import feature_index
from galenic.models.baselines.ridge import KernelRidge
from galenic.models.kdrug.encode import Arrays, cell_arrays, drug_arrays, tensor
from galenic.models.kdrug.role import Role

if TYPE_CHECKING:
    from galenic.models.kdrug.model import KDRUG

CPU = torch.device("cpu")


def attribute_cells(role: Role, cells: AnnData, drugs: pd.DataFrame, n_steps: int) -> AnnData:
    """Contributions of every feature to the response of cells to one drug; see :meth:`KDRUG.attribute`."""
    names = list(role.features)
    inputs = cell_arrays(cells, role.features, role.arrays, names[:1])
    blocks = [tensor(inputs[name], CPU) for name in names]
    masks = [tensor(inputs[f"has {name}"], CPU).double() for name in names]
    function = response_of(role, drugs)
    rows = [*blocks, *masks]
    found = integrated_gradients(function, rows, [*[torch.zeros_like(b[:1]) for b in blocks], *masks], n_steps=n_steps)
    index = feature_index(role.features, names)
    var = index.to_frame(index=False).set_index(pd.Index([f"{kind}:{name}" for kind, name in index]))
    obs = cells.obs.assign(prediction=found.output, baseline=found.baseline_output, gap=found.gap)
    return AnnData(np.hstack(found.contributions[: len(names)]), obs=obs, var=var)


def response_of(role: Role, drugs: pd.DataFrame) -> Callable[..., Tensor]:
    """The predicted response to one drug as a function of standardised inputs; of a cell that was not seen before.

    Parameters
    ----------
    drugs
        One row of a drug table.

    Returns
    -------
    callable
        Takes a block for each modality, then a mask (0 or 1) for each; returns ``(n_cells,)``, double precision.
    """
    names = list(role.features)
    weights = role.start._drug_weights(drugs)
    used = np.flatnonzero(weights[0])
    arrays = {"known": (drug_arrays(role.identities.iloc[used], role.identities), weights[0, used])}
    is_new = locate(drugs, role.identities)[0] < 0 and bool(drugs["smiles"].notna().iloc[0])
    if is_new and role.new_share and not role.published:
        arrays["new"] = (drug_arrays(drugs, role.identities), np.ones(1))
    if role.published:
        arrays = {"known": (drug_arrays(drugs, role.identities), np.ones(1))}
    b = role.new_share if "new" in arrays else 0.0
    centre = float(weights[0] @ role.start.arrays_["drug_mean"])
    kernel = kernel_part(role, weights[0])

    def function(*rows: Tensor) -> Tensor:
        cells = dict(zip([*names, *(f"has {name}" for name in names)], rows, strict=True))
        nets = {what: _nets(role, cells, *given) for what, given in arrays.items()}
        if role.published:
            share = nets["known"].clamp(1e-6, 1 - 1e-6)
            return 10 * (share / (1 - share)).log()
        answer = centre + kernel(cells) + role.share * role.scale * nets["known"]
        return (1 - b) * answer + b * (centre + role.scale * nets["new"]) if b else answer

    return function


def _nets(role: Role, cells: dict[str, Tensor], drugs: Arrays, weights: np.ndarray) -> Tensor:
    """Mean over members of their answers, drugs weighted, ``(n_cells,)``."""
    total, given = torch.zeros(()), {name: tensor(values, CPU) for name, values in drugs.items()}
    for net in role.nets:
        net.double()
        main, others = net.encode_cells(cells)
        n_cells, n_drugs = len(main), len(weights)
        cell, drug = (torch.from_numpy(rows) for rows in np.divmod(np.arange(n_cells * n_drugs), n_drugs))
        answers = net.pairs(main, others, net.encode_drugs(given), drug, cell)["prediction"]
        total = total + answers.unflatten(0, (n_cells, n_drugs)) @ torch.from_numpy(weights)
    return total / len(role.nets)


def kernel_part(role: Role, weights: np.ndarray) -> Callable[[dict[str, Tensor]], Tensor]:
    """What the start adds to the mean of the drug, as a function of standardised inputs."""
    start = role.start
    if not isinstance(start, KernelRidge):
        return lambda cells: torch.zeros((), dtype=torch.float64)
    spec, dual = start.spec_, torch.from_numpy(start.arrays_["dual"] @ weights)
    train = {name: torch.from_numpy(start.arrays_[f"train.{name}"]) for name, w in spec["mix"].items() if w}

    def part(cells: dict[str, Tensor]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for name, known in train.items():
            x = cells[name]
            if name == "tissue":
                K = x @ known.T
            else:
                distances = x.square().sum(1)[:, None] + known.square().sum(1) - 2 * x @ known.T
                K = (-distances / (2 * spec["width"] ** 2 * spec["scales"][name])).exp()
            total = total + spec["mix"][name] * K @ dual
        return total

    return part


def average_slopes(model: KDRUG, role: Role, cells: AnnData) -> np.ndarray:
    """Mean slope of each member's prediction along each standardised feature, ``(n_members, n_features, n_drugs)``."""
    names = list(role.features)
    inputs = {name: torch.from_numpy(a) for name, a in cell_arrays(cells, role.features, role.arrays).items()}
    drugs = {k: torch.from_numpy(v) for k, v in drug_arrays(role.identities, role.identities).items()}
    n_cells, n_drugs = cells.n_obs, len(role.identities)
    found = []
    for net in role.nets:
        net.float()
        blocks = [inputs[name].clone().requires_grad_() for name in names]
        main, others = net.encode_cells({**inputs, **dict(zip(names, blocks, strict=True))})
        cell, drug = (torch.from_numpy(rows) for rows in np.divmod(np.arange(n_cells * n_drugs), n_drugs))
        answers = net.pairs(main, others, net.encode_drugs(drugs), drug, cell)["prediction"]
        means = answers.unflatten(0, (n_cells, n_drugs)).sum(dim=0)
        slopes = [torch.autograd.grad(mean, blocks, retain_graph=True) for mean in means]
        found.append(np.stack([np.hstack([s.sum(dim=0).numpy() for s in slope]) for slope in slopes], axis=1))
    return role.scale * np.stack(found) / n_cells


def importance(model: KDRUG, cells: AnnData) -> pd.DataFrame:
    """Mean slope of each drug's prediction along each standardised feature: features x drugs, without tissues."""
    role = model.role()
    names = [name for name in role.features if name != "tissue"]
    slopes = average_slopes(model, role, cells).mean(axis=0) * (1.0 if role.published else role.share)
    table = pd.DataFrame(slopes, index=feature_index(role.features, list(role.features)), columns=role.identities.index)
    table = table.loc[names]
    if isinstance(role.start, KernelRidge):
        from galenic.data.response import ResponseData

        empty = pd.DataFrame({"cell": pd.Series(dtype=str), "drug": pd.Series(dtype=str)})
        linear = role.start.importance(ResponseData(empty, cells, role.identities))
        table = table + linear.reindex(index=table.index, columns=table.columns)
    return table


def attribute_atoms(role: Role, cells: AnnData, drugs: pd.DataFrame, n_steps: int) -> pd.DataFrame:
    """Contributions of the atoms of one drug to what the networks read from its graph; see :meth:`KDRUG.atoms`."""
    inputs = {
        n: tensor(a, CPU) for n, a in cell_arrays(cells, role.features, role.arrays, list(role.features)[:1]).items()
    }
    graph = drug_arrays(drugs, role.identities)
    bonds, mask = torch.from_numpy(graph["bonds"]), torch.from_numpy(graph["mask"])
    atoms = tensor(graph["atoms"], CPU)

    def function(atoms: Tensor) -> Tensor:
        total = torch.zeros(len(atoms), dtype=torch.float64)
        for net in role.nets:
            net.double()
            main, others = net.encode_cells(inputs)
            vectors = net.drug(atoms, bonds.expand(len(atoms), -1, -1), mask.expand(len(atoms), -1))
            n_cells, n_drugs = len(main), len(atoms)
            cell, drug = (torch.from_numpy(rows) for rows in np.divmod(np.arange(n_cells * n_drugs), n_drugs))
            answers = net.pairs(main, others, vectors, drug, cell)["prediction"]
            total = total + answers.unflatten(0, (n_cells, n_drugs)).mean(dim=0)
        return role.scale * total / len(role.nets)

    found = integrated_gradients(function, [atoms], [torch.zeros_like(atoms)], n_steps=n_steps)
    table = atom_names(str(drugs["smiles"].iloc[0]))
    table["contribution"] = found.contributions[0][0].sum(axis=1)[: len(table)]
    table.attrs |= {
        "output": float(found.output[0]),
        "baseline": float(found.baseline_output[0]),
        "gap": float(found.gap[0]),
    }
    return table
