"""Simulated screens with planted truth, for tests, tutorials and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first, require_known
from galenic.data.drugs import standardise
from galenic.data.expression import dense
from galenic.data.response import ResponseData

TISSUES = ("lung", "skin", "breast", "blood", "bowel", "brain")
TISSUE_SHARES = (0.25, 0.2, 0.17, 0.15, 0.13, 0.1)
SCAFFOLDS = (
    "c1cc({a})ccc1Nc1ncnc2cc({b})ccc12",
    "O=C(Nc1ccc({a})cc1)c1ccc({b})cc1",
    "O=C1Nc2ccc({a})cc2C1=Cc1ccc({b})[nH]1",
    "c1({b})nc({a})c2ncn(C3CCCC3)c2n1",
    "O=S(=O)(Nc1ccc({a})cc1)c1ccc({b})s1",
    "ONC(=O)CCCCC(=O)Nc1ccc({a})c({b})c1",
    "O=c1cc({a})oc2cc({b})ccc12",
    "CC12CCC3c4ccc({a})cc4CCC3C1CCC2({b})",
    "c1cc({a})cc2[nH]c({b})nc12",
    "Cc1nc({a})sc1-c1ccnc(Nc2ccc({b})cc2)n1",
    "O=C(c1ccc({a})cc1)N1CCN(Cc2ccc({b})cc2)CC1",
    "Cn1nc({a})c2c({b})ncnc12",
)
"""One skeleton a mechanism family, with two places for substituents."""
SUBSTITUENTS = (
    *("C", "CC", "C(C)C", "OC", "OCC", "F", "Cl", "C#N", "C(F)(F)F", "N(C)C", "NC(C)=O", "C(N)=O", "S(C)(=O)=O"),
    "N9CCOCC9",
)
MOST_DRUGS = len(SCAFFOLDS) * len(SUBSTITUENTS) ** 2


@dataclass(frozen=True)
class _Biology:
    """What is true of the simulated cells; one column a mechanism family."""

    cells: AnnData
    tissue: np.ndarray  # (n_cells,) row of TISSUES
    drivers: np.ndarray  # (n_families, n_drivers) columns of the expression matrix
    signs: np.ndarray  # (n_families, n_drivers) does the gene rise (1) or fall (-1) with the pathway
    mutated: np.ndarray  # (n_cells, n_families) 0/1
    methylated: np.ndarray  # (n_cells, n_families) 0/1
    mutation_names: list[str]
    methylation_names: list[str]


def screen(
    n_cells: int = 200,
    n_drugs: int = 30,
    n_genes: int = 500,
    *,
    n_drivers: int = 3,
    missing: float = 0.1,
    missing_modalities: float = 0.0,
    replicates: float = 0.0,
    noise: float = 0.6,
    seed: int = 0,
) -> tuple[ResponseData, pd.DataFrame]:
    """Simulate a drug screen of cell lines in which what drives the response is known.

    Drugs come in mechanism families: one scaffold with varied substituents, one target pathway. A family's ln IC50
    depends on ``n_drivers`` genes of the pathway, on a mutation that activates the pathway (so expression shows it in
    part) and on the methylation of the first driver (which lowers its expression). To this come the potency of the drug
    (scaffold and substituents), the general sensitivity of the cell, tissue effects and noise.

    Parameters
    ----------
    n_cells, n_drugs, n_genes
        Size of the screen. At most 2,352 drugs.
    n_drivers
        Driver genes of each family.
    missing
        Share of the (cell, drug) pairs that are not measured, at random.
    missing_modalities
        Share of the cells in which mutation, methylation and expression are missing, drawn for each modality apart; a
        cell that would lose all three keeps expression.
    replicates
        Share of the measured pairs that are measured twice; with any, ``pairs`` has a column ``replicate`` (1, 2).
    noise
        Standard deviation of a measurement, in ln IC50.
    seed
        The same seed gives the same screen.

    Returns
    -------
    data : ResponseData
        ``obs``: tissue, name; ``obsm``: mutation, methylation; ``drugs``: smiles, structure, name, targets (the driver
        genes), moa (the family). The response is ln IC50 with a standard deviation of about 2.5, and 1.4 within a drug.
    truth : DataFrame
        Columns ``drug, feature, modality, effect``: the change of ln IC50 by one standard deviation of a gene
        (``modality`` expression), or by a mutation or methylation event.

    Raises
    ------
    ValueError
        If the sizes do not allow the planted families, or a share is not in [0, 1).

    Examples
    --------
    >>> data, truth = screen(50, 8, 100)
    >>> data
    ResponseData(360 pairs: 50 cells x 8 drugs, ln_ic50; expression 100, mutation 20, methylation 20)
    >>> truth.groupby("modality").size().to_dict()
    {'expression': 24, 'methylation': 8, 'mutation': 8}
    """
    n_families = min(len(SCAFFOLDS), max(1, n_drugs // 4))
    _require_possible(n_cells, n_drugs, n_genes, n_drivers, n_families)
    _require_shares(missing=missing, missing_modalities=missing_modalities, replicates=replicates)
    for_cells, for_drugs, for_response, for_missing = np.random.default_rng(seed).spawn(4)
    biology = _cells(for_cells, n_cells, n_genes, n_families, n_drivers)
    genes = biology.cells.var_names.to_numpy()
    family = np.arange(n_drugs) % n_families
    drugs, potency = _drugs(for_drugs, family, [", ".join(genes[row]) for row in biology.drivers])
    response, truth = _response(for_response, biology, family, potency)
    truth.insert(0, "drug", drugs.index.to_numpy()[truth.pop("row")])
    pairs = _measure(for_missing, response, biology.cells.obs_names, drugs.index, missing, replicates, noise)
    _lose_modalities(for_missing, biology.cells, missing_modalities)
    return ResponseData(pairs, biology.cells, drugs), truth


def patients(
    data: ResponseData,
    truth: pd.DataFrame,
    n: int = 120,
    *,
    drugs: Sequence[str] | None = None,
    responders: float = 0.4,
    shift: float = 1.0,
    noise: float = 0.5,
    seed: int = 0,
) -> tuple[AnnData, pd.DataFrame]:
    """Simulate patients whose expression is shifted against the cells and whose response has the same drivers.

    Parameters
    ----------
    data, truth
        What :func:`screen` gave.
    n
        Patients; each is treated with one drug.
    drugs
        Which drugs; by default one of each mechanism, at most four.
    responders
        Share of responders among the patients of a drug.
    shift
        Standard deviation over genes of the shift of expression, in standard deviations of the gene.
    noise
        Standard deviation of what else decides the response, relative to what the drivers decide.
    seed
        The same seed gives the same patients.

    Returns
    -------
    patients : AnnData
        Expression of the genes of ``data``, ``(n, n_genes)``.
    labels : DataFrame
        Columns ``cell`` (the patient), ``drug, cohort, label``; label 1 = responder.

    Raises
    ------
    ValueError
        If a drug is not one of the screen, or ``n`` is below four patients a drug.

    Examples
    --------
    >>> people, labels = patients(*screen(50, 8, 100), n=40)
    >>> people.shape, int(labels["label"].sum())
    ((40, 100), 16)
    """
    rng = np.random.default_rng(seed)
    if drugs is None:
        drugs = data.drugs.groupby("moa", sort=False).head(1).index[:4].tolist()
    require_known(pd.Series(drugs), data.drugs.index, "drug of the patients", "the screen")
    if n < 4 * len(drugs):
        raise ValueError(
            f"each drug should have 4 patients; received {n} for {len(drugs)} drugs. Simulate more patients."
        )
    X = dense(data.cells.X)[data.measured("expression")]
    mean, scale = X.mean(axis=0), X.std(axis=0)
    # Random sums of centred cells have the covariance of the cells, so pathways stay pathways in new people.
    z = rng.normal(size=(n, len(X))) @ ((X - mean) / scale) / np.sqrt(len(X))
    expression = mean + scale * (z + shift * rng.normal(size=X.shape[1]))
    ids = pd.Index([f"P{i:04d}" for i in range(1, n + 1)])
    people = AnnData(pd.DataFrame(np.maximum(expression, 0).astype(np.float32), ids, data.cells.var_names))
    effects = truth[truth["modality"] == "expression"].pivot_table("effect", index="feature", columns="drug")
    effects = effects.reindex(index=data.cells.var_names, columns=list(drugs)).fillna(0.0)
    treated = np.arange(n) % len(drugs)
    score = (z @ effects.to_numpy())[np.arange(n), treated]
    labels = pd.DataFrame({"cell": ids, "drug": np.asarray(drugs)[treated], "score": score})
    spread = labels.groupby("drug")["score"].transform("std").to_numpy()
    labels["score"] += noise * spread * rng.normal(size=n)
    rank = labels.groupby("drug")["score"].rank(pct=True)
    labels["cohort"] = "cohort " + labels["drug"]
    labels["label"] = (rank <= responders).astype(int)
    return people, labels[["cell", "drug", "cohort", "label"]]


def _cells(rng: np.random.Generator, n_cells: int, n_genes: int, n_families: int, n_drivers: int) -> _Biology:
    genes = np.array([f"GENE{i:04d}" for i in range(1, n_genes + 1)])
    size = min(max(10, n_drivers), n_genes // n_families)
    members = rng.permutation(n_genes)[: n_families * size].reshape(n_families, size)
    signs = rng.choice([-1.0, 1.0], size=members.shape)
    tissue = rng.choice(len(TISSUES), size=n_cells, p=TISSUE_SHARES)
    mutated = rng.binomial(1, 0.25, size=(n_cells, n_families))
    methylated = rng.binomial(1, 0.3, size=(n_cells, n_families))
    activity = rng.normal(size=(n_cells, n_families)) + 0.5 * rng.normal(size=(len(TISSUES), n_families))[tissue]
    activity += 1.2 * (mutated - 0.25)

    programme = rng.normal(size=(len(TISSUES), n_genes)) * rng.binomial(1, 0.3, size=n_genes)
    X = 0.8 * rng.normal(size=(n_cells, n_genes)) + 0.7 * programme[tissue]
    X[:, members] += activity[:, :, None] * signs * rng.uniform(0.4, 0.7, size=members.shape)
    X[:, members[:, 0]] -= methylated
    X = np.maximum(rng.uniform(4, 9, size=n_genes) + rng.uniform(0.5, 1.2, size=n_genes) * X, 0)

    names = pd.Index([f"C{i:04d}" for i in range(1, n_cells + 1)])
    cells = AnnData(X.astype(np.float32), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=genes))
    cells.obs["tissue"] = np.array(TISSUES)[tissue]
    cells.obs["name"] = [f"CELL-{i}" for i in range(1, n_cells + 1)]
    mutation_names = [f"{gene}_mut" for gene in rng.permutation(genes)]
    cells.obsm["mutation"] = _events(rng, mutated, mutation_names[: max(20, n_genes // 5)], names)
    others = rng.permutation(np.setdiff1d(genes, genes[members[:, 0]]))
    methylation_names = [f"{gene}_meth" for gene in [*genes[members[:, 0]], *others]]
    cells.obsm["methylation"] = _events(rng, methylated, methylation_names[: max(20, n_genes // 10)], names)
    return _Biology(
        cells=cells,
        tissue=tissue,
        drivers=members[:, :n_drivers],
        signs=signs[:, :n_drivers],
        mutated=mutated,
        methylated=methylated,
        mutation_names=mutation_names[:n_families],
        methylation_names=methylation_names[:n_families],
    )


def _events(rng: np.random.Generator, planted: np.ndarray, columns: list[str], names: pd.Index) -> pd.DataFrame:
    """A 0/1 table whose first columns are planted, in alphabetical order so that the order tells nothing."""
    n_others = len(columns) - planted.shape[1]
    others = rng.binomial(1, 0.02 + rng.beta(1, 9, size=n_others) * 0.9, size=(len(names), n_others))
    table = pd.DataFrame(np.hstack([planted, others]).astype(np.float32), index=names, columns=columns)
    return table[sorted(columns)]


def _drugs(rng: np.random.Generator, family: np.ndarray, targets: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """The drug table and the potency that scaffold and substituents give, ``(n_drugs,)``."""
    n_families, n_parts = family.max() + 1, len(SUBSTITUENTS)
    scaffold = rng.permutation(len(SCAFFOLDS))[:n_families]
    combinations = np.stack([rng.permutation(n_parts**2) for _ in range(n_families)])
    a, b = np.divmod(combinations[family, np.arange(len(family)) // n_families], n_parts)
    table = pd.DataFrame(
        {
            "smiles": [
                SCAFFOLDS[scaffold[f]].format(a=SUBSTITUENTS[i], b=SUBSTITUENTS[j])
                for f, i, j in zip(family, a, b, strict=True)
            ],
            "name": [f"inhibitor {f + 1}.{i // n_families + 1}" for i, f in enumerate(family)],
            "targets": [targets[f] for f in family],
            "moa": [f"pathway {f + 1} inhibitor" for f in family],
        },
        index=[f"D{i:04d}" for i in range(1, len(family) + 1)],
    )
    part = rng.normal(size=(2, n_parts))
    potency = 1.3 * rng.normal(size=n_families)[family] + 0.9 * (part[0, a] + part[1, b]) + rng.normal(size=len(family))
    return standardise(table)[0], 1.0 + 2.1 * (potency - potency.mean()) / (potency.std() or 1.0)


def _response(
    rng: np.random.Generator, biology: _Biology, family: np.ndarray, potency: np.ndarray
) -> tuple[np.ndarray, pd.DataFrame]:
    """Noise-free ln IC50, ``(n_cells, n_drugs)``, and the planted effects with the row of their drug."""
    X = dense(biology.cells.X)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    n_families, n_drivers = biology.drivers.shape
    direction = rng.choice([-1.0, 1.0], size=n_families)
    # Signs agree within a pathway: correlated drivers of opposite effect would cancel and leave nothing to find.
    effects = direction[:, None] * biology.signs * rng.uniform(0.6, 1.0, size=biology.drivers.shape)
    effects *= 0.95 / np.einsum("cfk,fk->cf", z[:, biology.drivers], effects).std(axis=0)[:, None]
    mutation = direction * rng.uniform(0.6, 1.0, size=n_families)
    methylation = -np.sign(effects[:, 0]) * rng.uniform(0.5, 0.9, size=n_families)
    by_family = np.einsum("cfk,fk->cf", z[:, biology.drivers], effects)
    by_family += biology.mutated * mutation + biology.methylated * methylation
    by_family += 0.3 * rng.normal(size=(len(TISSUES), n_families))[biology.tissue]
    sensitivity = 0.3 * rng.normal(size=len(TISSUES))[biology.tissue] + 0.3 * rng.normal(size=len(X))
    strength = rng.uniform(0.7, 1.2, size=len(family))
    response = potency + sensitivity[:, None] + strength * by_family[:, family]

    planted = np.column_stack([effects, mutation, methylation])
    names = np.column_stack(
        [biology.cells.var_names.to_numpy()[biology.drivers], biology.mutation_names, biology.methylation_names]
    )
    modalities = ["expression"] * n_drivers + ["mutation", "methylation"]
    truth = pd.DataFrame(
        {
            "row": np.repeat(np.arange(len(family)), len(modalities)),
            "feature": names[family].ravel(),
            "modality": np.tile(modalities, len(family)),
            "effect": (strength[:, None] * planted[family]).ravel(),
        }
    )
    return response, truth


def _measure(
    rng: np.random.Generator,
    response: np.ndarray,
    cells: pd.Index,
    drugs: pd.Index,
    missing: float,
    replicates: float,
    noise: float,
) -> pd.DataFrame:
    measured = np.sort(rng.permutation(response.size)[round(missing * response.size) :])
    again = np.sort(rng.permutation(measured)[: round(replicates * len(measured))])
    rows = np.concatenate([measured, again])
    cell, drug = np.divmod(rows, len(drugs))
    values = response[cell, drug] + noise * rng.normal(size=len(rows))
    pairs = pd.DataFrame({"cell": cells.to_numpy()[cell], "drug": drugs.to_numpy()[drug], "response": values})
    if len(again):
        pairs["replicate"] = np.repeat([1, 2], [len(measured), len(again)])
    return pairs


def _lose_modalities(rng: np.random.Generator, cells: AnnData, share: float) -> None:
    n = cells.n_obs
    lost = {name: rng.permutation(n) < round(share * n) for name in ("mutation", "methylation", "expression")}
    cells.X[lost["expression"] & ~(lost["mutation"] & lost["methylation"])] = np.nan
    for name in ("mutation", "methylation"):
        cells.obsm[name].loc[lost[name]] = np.nan


def _require_possible(n_cells: int, n_drugs: int, n_genes: int, n_drivers: int, n_families: int) -> None:
    least_genes = max(20, n_families * max(n_drivers, 1))
    if n_cells < 2 or not 1 <= n_drugs <= MOST_DRUGS or n_drivers < 1 or n_genes < least_genes:
        raise ValueError(
            f"a simulated screen of {n_drugs:,} drugs needs at least 2 cells, 1 driver, {least_genes:,} genes and at "
            f"most {MOST_DRUGS:,} drugs; received {n_cells:,} cells, {n_drivers} drivers, {n_genes:,} genes. "
            "Change the sizes."
        )


def _require_shares(**shares: float) -> None:
    wrong = [f"{name}={share}" for name, share in shares.items() if not 0 <= share < 1]
    if wrong:
        raise ValueError(f"a share should be in [0, 1); received {first(wrong)}. Give a fraction, not a percentage.")
