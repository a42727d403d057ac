"""Why KDRUG predicts what it does: contributions of genes and other modalities, and of atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from galenic.data.drugs import atom_names
from galenic.data.response import ResponseData
from galenic.explain.attribution import integrated_gradients
from galenic.models.baselines.baseline import locate
from galenic.models.baselines.inputs import feature_index
from galenic.models.baselines.ridge import KernelRidge
from galenic.models.kdrug.encode import Arrays, cell_arrays, drug_arrays, tensors
from galenic.models.kdrug.role import Role


def attribute_cells(role: Role, cells: AnnData, drugs: pd.DataFrame, n_steps: int) -> AnnData:
    """Contributions of every feature to the response of cells to one drug; see :meth:`KDRUG.attribute`."""
    names = list(role.features)
    inputs = tensors(cell_arrays(cells, role.features, role.arrays, names[:1]))
    blocks, masks = [inputs[name] for name in names], [inputs[f"has {name}"].double() for name in names]
    baselines = [*(torch.zeros_like(block[:1]) for block in blocks), *masks]
    found = integrated_gradients(response_of(role, drugs), [*blocks, *masks], baselines, n_steps=n_steps)
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
            return 10 * nets["known"].logit(1e-6)
        answer = centre + kernel(cells) + role.share * role.scale * nets["known"]
        return (1 - b) * answer + b * (centre + role.scale * nets["new"]) if b else answer

    return function


def _nets(role: Role, cells: dict[str, Tensor], drugs: Arrays, weights: np.ndarray) -> Tensor:
    """Mean over members of their answers, drugs weighted, ``(n_cells,)``."""
    given, total = tensors(drugs), torch.zeros((), dtype=torch.float64)
    for net in role.nets:
        net.double()
        total = total + net.grid(*net.encode_cells(cells), net.encode_drugs(given)) @ torch.from_numpy(weights)
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


def importance(role: Role, data: ResponseData) -> pd.DataFrame:
    """Mean slope of each drug's prediction along each standardised feature: features x drugs, without tissues."""
    names = [name for name in role.features if name != "tissue"]
    index = feature_index(role.features, list(role.features))
    table = pd.DataFrame(average_slopes(role, data.cells), index=index, columns=role.identities.index).loc[names]
    if isinstance(role.start, KernelRidge):
        table += role.start.importance(data).reindex(index=table.index, columns=table.columns)
    return table


def average_slopes(role: Role, cells: AnnData) -> np.ndarray:
    """What the networks contribute to :func:`importance`, ``(n_features, n_drugs)``."""
    names = list(role.features)
    inputs = tensors(cell_arrays(cells, role.features, role.arrays))
    drugs = tensors(drug_arrays(role.identities, role.identities))
    total = np.zeros((sum(map(len, role.features.values())), len(role.identities)))
    for net in role.nets:
        net.double()
        blocks = [inputs[name].clone().requires_grad_() for name in names]
        cells_now = {**inputs, **dict(zip(names, blocks, strict=True))}
        answers = net.grid(*net.encode_cells(cells_now), net.encode_drugs(drugs))
        answers = 10 * answers.logit(1e-6) if role.published else role.share * role.scale * answers
        for drug, mean in enumerate(answers.mean(dim=0)):
            slopes = torch.autograd.grad(mean, blocks, retain_graph=True)
            total[:, drug] += np.concatenate([slope.sum(dim=0).numpy() for slope in slopes])
    return total / len(role.nets)


def attribute_atoms(role: Role, cells: AnnData, drugs: pd.DataFrame, n_steps: int) -> pd.DataFrame:
    """Contributions of the atoms of one drug to what the networks read from its graph; see :meth:`KDRUG.atoms`."""
    inputs = tensors(cell_arrays(cells, role.features, role.arrays, list(role.features)[:1]))
    graph = tensors(drug_arrays(drugs, role.identities))
    with torch.no_grad():
        encoded = [net.double().encode_cells(inputs) for net in role.nets]

    def function(atoms: Tensor) -> Tensor:
        bonds, mask = (graph[name].expand(len(atoms), *graph[name].shape[1:]) for name in ("bonds", "mask"))
        means = [
            net.grid(*cells, net.drug(atoms, bonds, mask)).mean(dim=0)
            for net, cells in zip(role.nets, encoded, strict=True)
        ]
        return role.scale * torch.stack(means).mean(dim=0)

    found = integrated_gradients(function, [graph["atoms"]], [torch.zeros_like(graph["atoms"])], n_steps=n_steps)
    table = atom_names(str(drugs["smiles"].iloc[0]))
    table["contribution"] = found.contributions[0][0].sum(axis=1)[: len(table)]
    told = {"output": found.output, "baseline": found.baseline_output, "gap": found.gap}
    table.attrs |= {name: float(value[0]) for name, value in told.items()}
    return table
