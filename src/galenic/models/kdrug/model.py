"""KDRUG: a multi-omic teacher, distilled into a student that reads expression alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.checks import first
from galenic.data.expression import modality
from galenic.data.response import ResponseData
from galenic.models.baselines.baseline import Baseline, joined
from galenic.models.baselines.completion import KernelCompletion
from galenic.models.fields import param
from galenic.models.kdrug.explaining import attribute_atoms, attribute_cells, importance
from galenic.models.kdrug.fitting import Fit, fold_count
from galenic.models.kdrug.role import Role, restore
from galenic.models.kdrug.uncertainty import intervals
from galenic.train import Training, Where
from galenic.work.near import nearest_name

Using = Literal["student", "teacher"]


def _training() -> Training:
    return Training(
        lr=2e-3, weight_decay=1e-2, batch_size=12288, max_epochs=30, patience=0, schedule="cosine", monitor="none"
    )


@dataclass(kw_only=True, repr=False)
class KDRUG(Baseline):
    r"""Response of cells to drugs by networks over atom graphs and omics, taught by omics the clinic does not have.

    A teacher reads every modality of ``teacher``; a student reads those of ``student`` and learns from the measured
    responses (*hard*), from the teacher's predictions (*soft*) and from how the teacher relates pairs (*relation*,
    RAD). The prediction of a drug :math:`d` of fitting in a cell :math:`c`,

    .. math:: \hat y_{cd} = m_d + (1 - b)\, k_d(x_c) + b\,\sigma \bar f(c, d) + e_{cd},

    joins the mean :math:`m_d` of the drug, kernel ridge :math:`k` on the same modalities (the *start*) and the mean
    :math:`\bar f` of the networks; :math:`e` is what the other responses of a known cell add
    (:class:`KernelCompletion`), 0 for a new one. Every network leaves out a fold of the cells, on which the share
    :math:`b` is chosen. A new drug is a weighted sum of known ones by similarity of structure, and what the networks
    read from its graph.

    Parameters
    ----------
    student, teacher
        Modalities that each reads: expression, tissue (used where known), or any key of cells.obsm. The first is
        the one that attention re-weights and every cell needs it. ``teacher=()``: no teacher and no distillation. Of
        the default teacher what the data do not carry is left out.
    fusion
        Of the teacher: "attention", "split" (two heads, no attention) or "plain" (one head on everything).
    stages
        1: the plain teacher; 2: then the two heads of ``fusion``, from its weights where they fit; 3: then the
        head of expression alone is tuned towards the other head, the privileged encoders frozen.
    hard, soft, relation
        Weights of the student's terms: error against the responses, error against the teacher, RAD (mean form).
    detach
        Take RAD's weights (gaps between student and teacher) as constants; else they pull predictions together too.
    start
        What the networks are joined with: "completion" (kernel ridge and each cell's own responses) or "means" (of
        the drugs: the networks have to find the rest).
    encoder
        Of a modality: "dense" (the order of features means nothing) or "conv" (as published).
    drug_encoder
        Widths of the atom graph network: "small" or "published" (9.2 million parameters).
    head
        "product" (inner product of drug and cell) or "mlp" (as published).
    identity
        Give each drug of fitting a learned vector; its graph speaks only for a new drug, and learns to in a stage of
        its own. Otherwise every drug is read from its graph.
    structure_epochs
        Epochs of that stage.
    n_latent, hidden, n_heads, dropout
        Width of the vector of a drug and of each modality; of the first layer of MLP heads; heads of attention; share
        of inputs and hidden values dropped.
    hide
        Share of cells from which a privileged modality is hidden in training, so that the network can answer without.
    n_members
        Networks, each trained without one fold of the cells; predictions are their mean. What each says of its own
        fold chooses the share of the networks and the width of intervals. 1: a tenth of the cells is held out.
    block
        Order of training pairs: "cell" (all pairs of some cells at a time), "drug", or none (at random).
    training
        Of every stage but the structures', whose epochs are ``structure_epochs``. A batch is never larger than an
        eighth of the pairs.
    answers
        Who answers when nobody is named: "student" or "teacher" (then no student is fitted).
    seed
        Of everything random.
    as_published
        The published forms where the code can run: responses as ``1 / (1 + exp(-x / 10))`` through a sigmoid, both
        heads on the layer of the other modalities, RAD with its broadcasting fault, no start.

    Notes
    -----
    Differences from the published code (faults by their number in ``docs/methods/kdrug.md``): attention stays inside a
    molecule (4); the expression head reads expression (1); RAD weighs each pair, as a mean, with weights held
    constant (2, 3); the teacher is in evaluation mode and its outputs are computed once (5); inputs are standardised
    on training cells, without the kernel PCA that makes every cell an arbitrary code (6, 7); attention is trained
    wherever it is used (8); encoders do not depend on the order of genes (9); drugs with one structure are one
    (13); pairs are indices (14).

    Examples
    --------
    >>> from galenic import simulate
    >>> data, truth = simulate.screen(n_cells=30, n_drugs=6, n_genes=40, seed=0)
    >>> model = KDRUG(n_latent=16, hidden=32, training=Training(max_epochs=2)).fit(data)
    >>> model.predict(data)["prediction"].notna().all()
    np.True_
    """

    student: tuple[str, ...] = ("expression", "tissue")
    teacher: tuple[str, ...] = ("expression", "tissue", "mutation", "methylation")
    fusion: Literal["attention", "split", "plain"] = "plain"
    stages: Literal[1, 2, 3] = 2
    hard: float = param(1.0, low=0)
    soft: float = param(1.0, low=0)
    relation: float = param(0.0, low=0)
    detach: bool = True
    start: Literal["completion", "means"] = "completion"
    encoder: Literal["dense", "conv"] = "dense"
    drug_encoder: Literal["small", "published"] = "small"
    head: Literal["product", "mlp"] = "product"
    identity: bool = True
    structure_epochs: int = param(1, low=1)
    n_latent: int = param(128, low=1)
    hidden: int = param(1024, low=1)
    n_heads: int = param(8, low=1)
    dropout: float = param(0.5, low=0, high=0.99)
    hide: float = param(0.2, low=0, high=1)
    n_members: int = param(8, low=1)
    block: Literal["cell", "drug", "none"] = "cell"
    training: Training = field(default_factory=_training)
    answers: Using = "student"
    seed: int = 0
    as_published: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.student or len(set(self.student)) < len(self.student) or len(set(self.teacher)) < len(self.teacher):
            raise ValueError(
                "KDRUG needs one modality for its student, and each once; "
                f"received student={self.student!r}, teacher={self.teacher!r}. Name each modality once."
            )
        if self.answers == "teacher" and not self.teacher:
            raise ValueError(
                'answers="teacher" needs a teacher; received teacher=(). Name its modalities, or ask the student.'
            )
        if not self.hard + (self.soft + self.relation if self.teacher else 0):
            raise ValueError(
                "the student needs something to learn from; received weights of 0 for every term it has. "
                "Set hard, or soft and a teacher."
            )

    def fit(
        self,
        data: ResponseData,
        *,
        valid: ResponseData | None = None,
        device: str = "auto",
        n_jobs: int = 1,
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from measured pairs: the starts, the teacher, then the student.

        As :meth:`Baseline.fit`, except: ``valid`` is learned from like the rest, as members leave folds of their own
        out (with one member, or as published, training may stop on it); ``device`` is where networks are trained;
        ``n_jobs`` members are trained at the same time; ``progress`` shows a bar for every stage; ``checkpoint`` is
        the folder from which a fit that was broken off goes on, to the same numbers.

        Raises
        ------
        ValueError
            If there is nothing to learn: no pairs, one drug, one response, a modality that no cell has, cells without
            the first modality, too few cells for the folds, a structure that does not parse; or if ``checkpoint`` is
            of other data or settings.
        RuntimeError
            If members cannot be trained; they are named.
        """
        data, held = joined(data, valid)
        data = data.trim()
        # In one order, so that the order of the rows decides nothing.
        order = np.lexsort((data.drug_rows, data.cell_rows))
        data, held = data.take(order), held[order]
        self.require(data)
        where = Where(device=device, progress=progress)
        spec, arrays, self.history_ = Fit(self, data, held, where, n_jobs=n_jobs, checkpoint=checkpoint).run()
        self._restore(spec, arrays)
        return self

    def require(self, data: ResponseData) -> None:
        """Raise ``ValueError`` for data that cannot be learned from, before long work.

        Parameters
        ----------
        data
            Measured pairs.
        """
        if np.ptp(data.response) == 0:
            raise ValueError(
                f"fitting needs responses that differ; all {len(data):,} are {data.response[0]:g}. "
                "Check the column of the response."
            )
        drugs = data.pairs["drug"].unique()
        if len(drugs) < 2:
            raise ValueError(
                f"KDRUG learns what drugs have in common and needs two of them or more; received {len(drugs)} "
                f"({first(drugs)}). Fit KernelRidge or ElasticNet on a screen of one drug."
            )
        named = self.student if self.teacher == type(self).teacher else (*self.student, *self.teacher)
        for name in named:
            if name != "tissue":
                modality(data.cells, name)
        n_cells, n_folds = data.pairs["cell"].nunique(), fold_count(self.n_members)
        if n_cells < 2 * n_folds and self.n_members > 1:
            raise ValueError(
                f"n_members={self.n_members} leaves out {n_folds} folds of cells in turn and needs {2 * n_folds} cells "
                f"at least; received {n_cells}. Set fewer members, or measure more cells."
            )

    def predict(self, data: ResponseData, *, using: Using | None = None) -> pd.DataFrame:
        """``data.pairs`` with a column ``prediction`` in the unit of fitting; the responses are not read.

        Parameters
        ----------
        data
            Cells and drugs by id; a drug is recognised by id, else by structure, else read from its structure alone.
        using
            "student" or "teacher"; None: who ``answers``. Modalities but the first that a cell lacks count as not
            measured.

        Raises
        ------
        ValueError
            If there is no teacher, a cell lacks the first modality, or a structure does not parse.
        """
        return data.pairs.assign(prediction=self.members(data, using=using).mean(axis=0))

    def members(self, data: ResponseData, *, using: Using | None = None) -> np.ndarray:
        """Predictions of each member of the ensemble, ``(n_members, n_pairs)``.

        Parameters
        ----------
        data, using
            As for :meth:`predict`.
        """
        return self.role(using).members(data)

    def intervals(
        self, data: ResponseData, *, coverage: float = 0.9, using: Using | None = None, n_draws: int = 0
    ) -> pd.DataFrame:
        """Predictions with intervals that hold the measured response of an unseen cell with the chance ``coverage``.

        Split-conformal: half the width is a quantile of the errors that were made on cells (of a new drug: on drugs)
        that were left out, for each drug by itself. For a known cell the intervals are wider than they need to be.

        Parameters
        ----------
        data, using
            As for :meth:`predict`.
        coverage
            In (0, 1).
        n_draws
            Monte Carlo dropout: passes with dropout on; 0 leaves them out.

        Returns
        -------
        DataFrame
            ``data.pairs`` with ``prediction``, ``low``, ``high``, ``spread`` (standard deviation over members) and
            ``dropout_spread`` (over draws). The spreads say where networks differ, not how large errors are.
        """
        return intervals(self, data, using or self.answers, coverage, n_draws)

    def attribute(self, data: ResponseData, drug: str, *, using: Using | None = None, n_steps: int = 64) -> AnnData:
        """What every feature contributes to the predicted response of the cells of ``data`` to one drug.

        Integrated gradients from the average cell, in the unit of the response. What a known cell's own responses add
        is left out: it reads no feature.

        Parameters
        ----------
        data
            Its cells and its drug table are read.
        drug
            Id in ``data.drugs``.
        using
            As for :meth:`predict`.
        n_steps
            Points on the path.

        Returns
        -------
        AnnData
            Cells x features; ``var``: ``modality`` and ``feature``; ``obs``: as in ``data.cells``, with
            ``prediction``, ``baseline`` and ``gap`` (prediction less baseline less the sum of the contributions).
        """
        return attribute_cells(self.role(using), data.cells, _one_drug(data, drug), n_steps)

    def atoms(self, data: ResponseData, drug: str, *, using: Using | None = None, n_steps: int = 64) -> pd.DataFrame:
        """What every atom contributes to the deviation that the networks read from a drug's graph, mean over cells.

        Integrated gradients from a graph whose atoms have no features. Draw them with
        :func:`galenic.drugs.draw_atoms`. Known drugs have identities, and new ones are mostly predicted from similar
        structures: ``spec_["roles"][using]["new_share"]`` says how much the graphs count.

        Returns
        -------
        DataFrame
            ``atom, element, aromatic, contribution``; ``attrs``: ``output``, ``baseline`` and ``gap``.
        """
        table = _one_drug(data, drug)
        if table["smiles"].isna().any():
            raise ValueError(f"atoms need a structure; the drug {drug!r} has none. Name one with a SMILES.")
        return attribute_atoms(self.role(using), data.cells, table, n_steps)

    def importance(self, data: ResponseData) -> pd.DataFrame:
        """Average slope of each drug's prediction along each standardised feature over the cells of ``data``.

        Of the start and the networks together; positive: higher values go with resistance. Tissues are not listed.

        Returns
        -------
        DataFrame, features x drugs
            Index levels ``modality`` and ``feature``.
        """
        return importance(self.role(), data)

    def sketch(self) -> Self:
        """The same model with two members: for the many refits that biomarkers are found with."""
        return replace(self, n_members=min(2, self.n_members))

    def companions(self) -> dict[str, Baseline]:
        """What it should be compared with besides floors: its teacher, itself without one, and its start alone."""
        found: dict[str, Baseline] = {"KDRUG, start alone": KernelCompletion(inputs=self.student, seed=self.seed)}
        if self.teacher and self.answers == "student":
            found |= {
                "KDRUG, teacher": replace(self, answers="teacher"),
                "KDRUG, no teacher": replace(self, teacher=()),
            }
        return found

    def role(self, using: Using | None = None) -> Role:
        """The fitted student or teacher.

        Parameters
        ----------
        using
            "student" or "teacher"; None: who ``answers``.
        """
        self._check_fitted()
        using = using or self.answers
        if using not in self.spec_["roles"]:
            raise ValueError(
                f"predictions are by {' or '.join(self.spec_['roles'])} here; received using={using!r}. "
                "Fit with a teacher, or ask for the student."
            )
        return restore(self, using, self.spec_, self.arrays_)


def _one_drug(data: ResponseData, drug: str) -> pd.DataFrame:
    """The row of one drug."""
    if drug not in data.drugs.index:
        raise ValueError(
            f"the drug should be one of {len(data.drugs):,} in the table of drugs (first: {first(data.drugs.index)}); "
            f"received {drug!r}{nearest_name(drug, data.drugs.index)} Name it by its id."
        )
    return data.drugs.loc[[drug]]
