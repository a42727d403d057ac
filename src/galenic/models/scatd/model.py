"""ScATD: single cells told sensitive or resistant by what bulk lines teach and what their own neighbours confirm."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from galenic.data.cell_matrix import CellMatrix
from galenic.data.neighbourhood import Neighbourhood, components
from galenic.models.cells.cell_model import CellModel, standardised
from galenic.models.cells.source import Source
from galenic.models.fields import param
from galenic.models.scatd.answer import Answer, answered
from galenic.models.scatd.few_shot import FewShot
from galenic.models.scatd.fitting import Fit
from galenic.models.scatd.network import CellFunction
from galenic.models.scatd.restoring import function_of
from galenic.models.scatd.start import agreement, sign_confidence
from galenic.train import Training

if TYPE_CHECKING:
    from galenic.models.scatd.encoder import ScATDEncoder
    from galenic.models.scatd.explanation import Explanation


def _training() -> Training:
    return Training(
        lr=1e-3, weight_decay=3e-3, batch_size=64, max_epochs=40, patience=0, schedule="cosine", monitor="none"
    )


def _pretraining() -> Training:
    return Training(lr=1e-3, weight_decay=1e-4, batch_size=128, max_epochs=60, patience=10, monitor="total")


@dataclass(kw_only=True, repr=False)
class ScATD(CellModel):
    r"""P(sensitive) of single cells from labelled bulk lines, by a linear start, residual networks and neighbours.

    Every member :math:`k` leaves out a fold of the cell lines. Its logit of a cell with standardised features
    :math:`x`,

    .. math:: \ell_k(x) = \beta_0 + \beta_s\, w_k^\top x + \beta_n\, f_k(\mu(x)),

    joins a linear *start* (ridge regression on the responses, or nearest centroids) and a head :math:`f` on the mean
    latents :math:`\mu` of a frozen residual autoencoder; :math:`\beta_n` is 0 unless lines that were left out say that
    networks add something, and networks and start say alike of the target's cells.
    Cells of one subclone respond alike, and a single cell is noisy: logits are spread over the graph of nearest cells
    of the target, made of all its genes, also those that no line was measured for,

    .. math:: s = (1 - \alpha)(I - \alpha A)^{-1} \ell .

    Where scores are of two kinds, P(sensitive) is the chance to be of the higher one, times the chance that the
    direction is right: halves of the lines that agree on this target's cells say how large that is.

    Parameters
    ----------
    use_rep
        Key of ``obsm`` that lines and cells both have; None: genes.
    align
        "own": cells and lines are standardised each by their own domain; "none": both by the lines.
    n_folds
        Folds of the cell lines, and members.
    learn
        What heads learn: "response", the share of the lines that respond less (where only labels were given, their
        middle ranks), or "label". A cut makes labels of a curve, and where it lies a lineage often tells them.
    start
        "ridge" (of the response), "centroid" (from resistant to sensitive lines), "auto": the one whose halves agree
        more on the target's cells (without a target, that ranks left-out lines better), or "none": the networks have
        to find everything.
    n_latent, widths
        Of the residual autoencoder that is trained on lines and target where no encoder is given.
    beta
        Weight of its reconstruction.
    adapt_by, adapt_weight
        What pulls latents of lines and cells together: "mmd", "coral", "adversarial" or "none", and its weight.
    augment
        More lines of the rare class: "decoder" (drawn latents decoded), "smote" or "none"; inside each fold.
    tomek
        Then leave out lines of the larger class in Tomek links.
    tuned_epochs
        Last epochs in which the encoder learns too.
    neighbours, spread
        Nearest cells in the graph (0: each cell by itself), and how far logits are spread along it (alpha; 0: not at
        all).
    confidence
        Chance of the direction below which every cell is abstained from, as it is where lines that were left out are
        not told better than by chance (p > 0.05); 0: from none for these reasons.
    certainty
        max(P, 1 - P) below which a cell is, with P taken as far from 0.5 as it is from the cut of its label.
    n_draws
        Draws of the latents, for ``sd``; 0 = none. Without effect where networks have no share.
    as_published
        No start, no neighbours, latents always drawn, cells brought to the statistics of the raw lines, the fold with
        the best AUROC instead of the mean, threshold 0.5; published learning rate and epochs where ``training`` is
        left as it is.
    training, pretraining
        Of the heads, and of the autoencoder.
    seed
        Of everything random.

    Attributes
    ----------
    source_ : DataFrame
        What members say of the lines that they left out. Not saved.
    history_ : DataFrame
        Terms of the loss by stage, member and epoch. Not saved.

    Notes
    -----
    After scATD (Zhou et al., Briefings in Bioinformatics 2025, bbaf268). Differences by the numbers of
    docs/methods/scatd.md: statistics of the domain are stored (1), frozen parts stand still (2), latents are means (3),
    one normalisation (4), folds of lines (6), everything inside the fold (7), the mean over folds (8), ids (9).

    Examples
    --------
    >>> from galenic.data.simulate.single_cell import bulk_and_cells
    >>> bulk, cells = bulk_and_cells(n_genes=60, n_lines=60, n_cells=80, n_drivers=15, seed=0)
    >>> model = ScATD(training=Training(max_epochs=2, monitor="none"), pretraining=Training(max_epochs=2))
    >>> table = model.fit(bulk, response="ln_ic50", target=cells).predict(cells)
    >>> table.columns.tolist()
    ['probability', 'sd', 'label', 'abstain', 'score', 'alone']
    """

    learn: Literal["response", "label"] = "response"
    start: Literal["auto", "ridge", "centroid", "none"] = "auto"
    n_latent: int = param(32, low=1)
    widths: tuple[int, ...] = param((128,), low=1)
    beta: float = param(100.0, low=0)
    adapt_by: Literal["mmd", "coral", "adversarial", "none"] = "mmd"
    adapt_weight: float = param(0.1, low=0)
    augment: Literal["decoder", "smote", "none"] = "decoder"
    tomek: bool = True
    tuned_epochs: int = param(0, low=0)
    neighbours: int = param(15, low=0)
    spread: float = param(0.9, low=0, high=0.999)
    confidence: float = param(0.9, low=0, high=1)
    certainty: float = param(0.6, low=0.5, high=1)
    n_draws: int = param(4, low=0)
    as_published: bool = False
    training: Training = field(default_factory=_training)
    pretraining: Training = field(default_factory=_pretraining)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours == 1:
            raise ValueError("ScATD.neighbours should be 0 (none) or 2 and more; received 1. A cell is its own first.")

    def fit(self, bulk: AnnData | None, *, encoder: ScATDEncoder | None = None, **how: Any) -> Self:
        """Learn from labelled lines, from a few labelled cells, or from both.

        Parameters
        ----------
        bulk, how
            As :meth:`CellModel.fit`: ``label, response, line, platform, target, few, device, n_jobs, progress``.
        encoder
            Pretrained (or distilled) on other cells. Features are then those that it, the lines and the target share.
            By default one is trained here on lines and target, without labels.

        Raises
        ------
        ValueError
            As :meth:`CellModel.fit`; or if the encoder reads another representation.
        """
        if encoder is not None:
            encoder._check_fitted()
            if encoder.use_rep != self.use_rep:
                raise ValueError(
                    f"encoder and model should read one representation; received {encoder.use_rep!r} and "
                    f"{self.use_rep!r} (None = genes). Set use_rep, or give the distilled student."
                )
        self._encoder = encoder
        try:
            return super().fit(bulk, **how)
        finally:
            del self._encoder

    def _wanted(self) -> list[str] | None:
        """Features that an encoder restricts the fit to."""
        encoder = getattr(self, "_encoder", None)
        return None if encoder is None else list(encoder.spec_["features"])

    def _effective(self) -> ScATD:
        """The fields that count: those of the publication where it is asked for."""
        if not self.as_published:
            return self
        from galenic.models.scatd.member import published_training

        training = published_training() if self.training == _training() else self.training
        return replace(self, learn="label", start="none", neighbours=0, n_draws=0, training=training)

    def _members(self, source: Source | None, given: Any, spec: dict[str, Any], **how: Any) -> dict[str, np.ndarray]:
        model = self._effective()
        arrays: dict[str, np.ndarray] = {}
        self.history_ = pd.DataFrame()
        if source is not None:
            encoder = getattr(self, "_encoder", None)
            arrays, self.history_, self.source_ = Fit(model, source, spec, encoder, graph_of=model._graph, **how).run()
        if how["few"] is not None:
            arrays |= self._few_labels(spec, how["target"], how["few"])
        return arrays

    def with_few(self, target: AnnData, few: pd.Series) -> Self:
        """A copy that has seen the labels of a few cells of ``target`` too; what lines taught is not learned again.

        Parameters
        ----------
        target
            Unlabelled cells that will be asked about.
        few
            1 = sensitive, 0 = resistant, by cell id; one of each at least.
        """
        self._check_fitted()
        model = replace(self)
        spec, arrays = dict(self.spec_), {k: v for k, v in self.arrays_.items() if not k.startswith("few/")}
        model._restore(spec, arrays | self._few_labels(spec, target, few))
        return model

    def _few_labels(self, spec: dict[str, Any], target: AnnData, few: pd.Series) -> dict[str, np.ndarray]:
        from galenic.models.cells.source import few_labels

        rows, y = few_labels(few, target)
        whole = CellMatrix.of(target, use_rep=self.use_rep)
        matrix = CellMatrix.of(target, use_rep=self.use_rep, features=sorted(whole.features), kind=whole.kind)
        found = FewShot.of(matrix, self._graph(target), rows, y, spread=self.spread, seed=self.seed)
        spec |= {"few": len(y), "few_right": found.right, "few_features": matrix.features}
        spec.setdefault("n_members", 1)
        return {f"few/{name}": array for name, array in found.arrays().items()}

    def _graph(self, cells: AnnData) -> Neighbourhood | None:
        """Nearest cells by all that these cells have measured, whether lines have it or not."""
        n_neighbours = self._effective().neighbours
        if not n_neighbours or cells.n_obs < 3:
            return None
        found = components(CellMatrix.of(cells, use_rep=self.use_rep), seed=self.seed)
        return Neighbourhood.of(found, n_neighbours=n_neighbours, seed=self.seed)

    def function(self, device: str = "cpu") -> CellFunction:
        """The mean logit of a cell by itself as a network: standardised features ``(n, n_features)`` to ``(n,)``.

        Parameters
        ----------
        device
            Where it computes: cpu, cuda, auto.
        """
        self._check_fitted()
        return function_of(self.spec_, self.arrays_).to(device).eval()

    def features_of(self, cells: AnnData, *, statistics: Literal["stored", "own"] | None = None) -> np.ndarray:
        """Standardised features of cells, as :meth:`function` reads them, ``(n_cells, n_features)``."""
        matrix = self.matrix(cells)
        mean, sd = self.standard(matrix, statistics)
        return standardised(np.where(matrix.found, matrix.dense(), mean), mean, sd)

    def predict(
        self, cells: AnnData, *, statistics: Literal["stored", "own"] | None = None, device: str = "cpu"
    ) -> pd.DataFrame:
        """How likely each cell is sensitive, and whether to believe it.

        Parameters
        ----------
        cells
            Cells x genes, in memory or backed, of one tumour, sample or experiment. Labels, if any, are not read. With
            ``neighbours`` the answer for a cell depends on the cells that it comes with.
        statistics
            As :meth:`CellModel.predict`.
        device
            Where networks compute.

        Returns
        -------
        DataFrame
            A row a cell, by its id:

            - ``probability`` that it is sensitive;
            - ``sd`` of it over members and draws of the latents;
            - ``label``: 1 from 0.5 on where cells are of two kinds, else from the threshold on that was chosen on the
              lines; missing for cells without counts;
            - ``abstain``: the direction is not sure enough, the cell lies between the kinds, or has no counts;
            - ``score``: the smoothed logit; ``alone``: P(sensitive) that the lines give to the cell by itself.

            ``attrs["direction"]``: ``confidence`` (chance that the direction is right), ``agreement`` (of halves of
            the lines), ``two_kinds``, ``abstained`` and ``why``.
        """
        self._check_fitted()
        graph = self._graph(cells)
        if "few/weights" in self.arrays_:
            return self._answer_few(cells, graph)
        matrix = self.matrix(cells)
        mean, sd = self.standard(matrix, statistics)
        model = self._effective()
        mean_to = (mean, sd) if not self.as_published else self._published_statistics(mean, sd)
        function = function_of(self.spec_, self.arrays_).to(device).eval()
        noise = self._noise(function, device)
        logits = np.empty((self.spec_["n_members"] * len(noise), matrix.n))
        for rows, part in matrix.blocks():
            x = standardised(np.where(matrix.found, part, mean), *mean_to)
            logits[:, rows] = _members_of(function, x, noise, device)
        agreed = self._agreed(matrix, mean, sd, graph)
        return answered(
            Answer(
                ids=cells.obs_names, logits=logits, n_members=self.spec_["n_members"], together=graph is not None,
                graph=graph, spread=model.spread, empty=matrix.empty(),
                threshold=self.spec_["threshold"], agreed=agreed, spread_of_lines=self.spec_["logit_sd"],
                by_chance=0.0 if self.confidence == 0 else (self.spec_["source"].get("p_value") or 0.0),
                sure=1.0 if agreed is None else sign_confidence(agreed),
            ),
            needed=self.confidence, certainty=self.certainty,
        )  # fmt: skip

    def _noise(self, function: CellFunction, device: str) -> list[torch.Tensor | None]:
        """How latents are drawn: not, then once for each draw; alike for all cells, so that each stands for itself."""
        draws: list[torch.Tensor | None] = [] if self.as_published else [None]
        if function.share:
            n_latent = self.spec_["encoder"]["recipe"]["n_latent"]
            generator = torch.Generator().manual_seed(self.seed)
            n_draws = 1 if self.as_published else self._effective().n_draws
            draws += [torch.randn(n_latent, generator=generator).to(device) for _ in range(n_draws)]
        return draws

    def _agreed(
        self, matrix: CellMatrix, mean: np.ndarray, sd: np.ndarray, graph: Neighbourhood | None
    ) -> float | None:
        """How far halves of the lines agree on these cells (of many on a sample), or without a graph on the target."""
        if "halves" not in self.arrays_ or graph is None:
            known: float | None = self.spec_["agreement"]
            return known
        halves = self.arrays_["halves"]
        x = standardised(np.where(matrix.found, matrix.rows(graph.landmarks), mean), mean, sd)
        split = x @ halves.reshape(-1, halves.shape[2]).T.astype(np.float64)
        split = replace(graph, lookup=None).smooth(split, spread=self.spread)
        return agreement(split[:, 0::2], split[:, 1::2])

    def attribute(self, cells: AnnData, **how: Any) -> AnnData:
        """What every feature contributes to the logit of every cell; see :func:`.explaining.attribute`."""
        from galenic.models.scatd.explaining import attribute

        return attribute(self, cells, **how)

    def explain(self, cells: AnnData, **how: Any) -> Explanation:
        """Contributions, the genes behind them, and how far to trust these; see :func:`.explanation.explain`."""
        from galenic.models.scatd.explanation import explain

        return explain(self, cells, **how)

    def _answer_few(self, cells: AnnData, graph: Neighbourhood | None) -> pd.DataFrame:
        known = {name.removeprefix("few/"): a for name, a in self.arrays_.items() if name.startswith("few/")}
        few, matrix = FewShot.restored(known), self.matrix(cells, self.spec_["few_features"])
        scores = few.score(matrix, graph, self.spread)
        return answered(
            Answer(
                ids=cells.obs_names, logits=4 * scores[None], n_members=1, together=graph is not None, graph=None,
                spread=0.0, empty=matrix.empty(), threshold=0.5, agreed=None, sure=few.right,
            ),
            needed=0.5, certainty=self.certainty,
        )  # fmt: skip

    def _published_statistics(self, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Statistics by which cells come to those of the raw lines, where the network was trained on other ones."""
        if "reference/centre" not in self.arrays_:
            return mean, sd
        centre, scale = self.arrays_["reference/centre"], self.arrays_["reference/scale"]
        lines = self.arrays_["source/mean"], np.maximum(self.arrays_["source/sd"], 1e-8)
        return mean - sd * (lines[0] - centre) / lines[1], sd * scale / lines[1]


def _members_of(function: CellFunction, x: np.ndarray, noise: list[torch.Tensor | None], device: str) -> np.ndarray:
    """Logits of members, a row of them for each way of drawing their latents."""
    inputs = torch.from_numpy(x.astype(np.float32)).to(device)
    with torch.no_grad():
        return torch.cat([function.members(inputs, one) for one in noise]).cpu().numpy().astype(np.float64)
