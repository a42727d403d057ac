"""XTransferCDR: what a perturbation does in a context where nobody measured it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from galenic.data.condition_means import ConditionMeans
from galenic.data.perturbation import PerturbationColumns
from galenic.models.fields import param
from galenic.models.perturbation.floors import AdditivePairs
from galenic.models.perturbation.known import Conditions, Known, compare
from galenic.models.perturbation.linear import usual
from galenic.models.perturbation.perturbation_model import PerturbationModel, measured
from galenic.models.perturbation.question import Question
from galenic.models.perturbation.stacked import StackedShift
from galenic.models.xtransfer import shares
from galenic.models.xtransfer.answer import Answers
from galenic.models.xtransfer.codes import interactions, nearest, placed
from galenic.models.xtransfer.lesson import Lesson, lesson_of
from galenic.models.xtransfer.member import Member
from galenic.models.xtransfer.network import Weights
from galenic.models.xtransfer.school import School
from galenic.models.xtransfer.training_pairs import can_pair, scale_of
from galenic.nn.towers import Norm, Output
from galenic.train import Training, Where


def _training() -> Training:
    return Training(
        lr=1e-3, weight_decay=1e-2, batch_size=64, max_epochs=20, patience=4, schedule="cosine", monitor="held_out"
    )


def _gene_training() -> Training:
    return Training(
        lr=2e-3, weight_decay=1e-2, batch_size=1024, max_epochs=20, patience=5, schedule="cosine", monitor="error"
    )


def _terms() -> Weights:
    return Weights(discrepancy=1.0, kind="mse", cosine=True, state_of_control=5.0, null_effect=5.0)


@dataclass(kw_only=True, repr=False)
class XTransferCDR(PerturbationModel):
    r"""Effects of perturbations carried to contexts where they were not measured.

    .. math:: \hat x_{cp} = \bar x_c + \hat e_{cp} + s_1\, \overline{f(g_{cp})} + s_2\, \overline{D\bigl(S(\bar x_c) +
       P(\delta_{\cdot p})\bigr)}

    The *start* :math:`\hat e` is a weighted sum of simple effects (:class:`StackedShift`). Two kinds of networks say
    what it lacks, and begin at 0. The *correction of genes* :math:`f` reads what is known of one gene in the condition
    (the parts of the start, the spread over sources, the controls here and there) and is the same function for all
    genes. The *towers* are those of the publication: a state encoder S, an effect encoder P and a decoder D of the sum
    of both codes, trained on pairs of profiles that share the context or the perturbation, with the shared code
    swapped. Several networks of each kind leave different conditions out, and the shares :math:`s` are the least
    squares on what was left out: networks that do not help there are silent.

    Parameters
    ----------
    start
        "stacked", or "none": the towers alone answer, as published.
    n_networks
        Networks of each kind; 0 = the start alone.
    genes
        Whether there is a correction of genes.
    towers
        Whether there are towers.
    mode
        What pairs share: the context ("cell"), the perturbation ("drug"), or either ("both").
    level
        What pairs are made of: mean profiles of "conditions", or "cells" (rows as they are).
    terms
        Weights of the terms of the towers' loss.
    widths
        Hidden widths of the encoders, and of the codes; the decoder has them in reverse.
    n_residual
        Residual blocks of each tower.
    norm
        Of hidden layers: "batch" (its statistics depend on the batch), "layer" or "none".
    dropout
        Share of hidden values dropped in training.
    noise
        Standard deviation of the noise on profiles and on codes in training, in units of the size of effects.
    difference
        Whether the effect encoder is given the difference to the controls, or the profile itself.
    output
        Of the decoder without a start: "relu" or "softplus" (expression is not negative; neither may the input be), or
        "identity" (any numbers, such as z-scores).
    spread
        How far apart predictions of different perturbations lie. "expected": the least error, which is less far apart
        than measured effects are, since what is not known stays out. "measured": what is special to each perturbation
        is stretched until training conditions, predicted from others, vary as much as measured. Perturbations are
        then told apart better (discrimination), at the cost of errors and correlation.
    as_published
        The network of the publication: towers alone of 1024, 512, 256 and 128 with batch norm and three residual
        blocks, single rows, noise 0.1 on expression as it is, ReLU output, published terms, Adam with weight decay,
        the last epoch. Fields for these then count for nothing; mode, seed, and training's batch size and epochs (512
        and 60 in the publication) still do.
    training, gene_training
        Of the towers ("held_out" is the error on conditions left out) and of the correction of genes ("error", on
        genes left out).
    seed
        Of folds, first weights, pairs and noise.

    Attributes
    ----------
    history_ : DataFrame
        A row an epoch of each network.
    spec_ : dict
        ``share_genes, share_towers``: how much the networks count; ``stretch``: of ``spread="measured"``.

    Notes
    -----
    After XTransferCDR (AAAI 2025, arXiv 2412.19228; its tables were not available, no claim of a match is made).
    Differences by default: the start; networks learn what it lacks; the correction of genes; codes come from mean
    profiles, effects from differences to controls; the state encoder also learns on controls, and no effect is decoded
    as none; the best epoch by the error of effects of held-out conditions; codes are compared by mean squares in place
    of KL of their softmax. Of the published form the step-wise learning rate became a cosine, one draw of a pair for
    each treated row makes an epoch (pairs were frozen and not published), a combination takes its state from controls,
    and answers are decoded from mean profiles in place of averaged over rows.

    Only what networks earn on held-out conditions counts. With fewer than three perturbations or contexts to leave out
    the correction of genes counts one half and the towers nothing. A condition's own
    measurement is never averaged into its answer, but weights and networks have been learned from it: to judge, ask for
    conditions that were not in the fit. docs/methods/xtransfercdr.md shows what each part brings on real data.

    Examples
    --------
    >>> from galenic.data.simulate import perturbations
    >>> adata = perturbations(n_contexts=3, n_perturbations=8, n_genes=30, n_cells=6)
    >>> model = XTransferCDR(n_networks=2, training=Training(max_epochs=2, monitor="held_out"))
    >>> predicted = model.fit(adata).predict(adata, pd.DataFrame({"context": ["type A"], "perturbation": ["P03"]}))
    >>> predicted.layers["effect"].shape, sorted(model.history_["stage"].unique())
    ((1, 30), ['genes', 'towers'])
    """

    start: Literal["stacked", "none"] = "stacked"
    n_networks: int = param(4, low=0)
    genes: bool = True
    towers: bool = True
    mode: Literal["both", "cell", "drug"] = "both"
    level: Literal["conditions", "cells"] = "conditions"
    terms: Weights = field(default_factory=_terms)
    widths: tuple[int, ...] = (256, 128, 64, 32)
    n_residual: int = param(1, low=0)
    norm: Norm = "layer"
    dropout: float = param(0.1, low=0, high=0.9)
    noise: float = param(0.1, low=0)
    difference: bool = True
    output: Output = "identity"
    spread: Literal["expected", "measured"] = "expected"
    as_published: bool = False
    training: Training = field(default_factory=_training)
    gene_training: Training = field(default_factory=_gene_training)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.widths) != 4 or min(self.widths) < 1:
            raise ValueError(
                f"XTransferCDR.widths should be four numbers of 1 or more; received {self.widths}. Give three hidden "
                "widths and that of the codes, such as (256, 128, 64, 32)."
            )
        if self.start == "none" and not (self.towers and self.n_networks):
            raise ValueError(
                f"without a start the towers answer; received towers={self.towers}, n_networks={self.n_networks}. "
                "Set start='stacked', or let there be towers."
            )

    def _effective(self) -> XTransferCDR:
        """The fields that count: those of the publication where it is asked for."""
        if not self.as_published:
            return self
        training = replace(self.training, lr=2e-4, weight_decay=5e-4, optimizer="adam", monitor="none")
        return replace(
            self, as_published=False, start="none", n_networks=1, genes=False, towers=True, level="cells",
            terms=Weights(), widths=(1024, 512, 256, 128), n_residual=3, norm="batch", dropout=0.2, noise=0.1,
            difference=False, output="relu", spread="expected", training=training,
        )  # fmt: skip

    def _non_negative(self) -> bool:
        model = self._effective()
        return model.start == "none" and model.output != "identity"

    def _learn(
        self,
        adata: AnnData,
        columns: PerturbationColumns,
        means: ConditionMeans,
        spec: dict[str, Any],
        *,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
        **how: Any,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        model = self._effective()
        start = StackedShift()
        spec, arrays = start._learn(adata, columns, means, spec)
        arrays |= measured(means)
        start._restore(spec, arrays)
        lesson = lesson_of(start)
        arrays |= lesson.told
        folds = lesson.folds(max(2, model.n_networks), model.seed)
        spec["has_towers"] = (
            model.towers and model.n_networks > 0 and (model.start == "none" or can_pair(means, model.mode))
        )
        wants_genes = model.genes and model.n_networks > 0 and model.start != "none"
        spec["has_genes"] = wants_genes and bool(lesson.able.any())
        kinds = [name for name in ("genes", "towers") if spec[f"has_{name}"]]
        # Only what is needed goes to other processes.
        cells = adata if model.level == "cells" else None
        school = School(model, cells, columns, means, lesson, scale_of(model, arrays), folds)
        where = Where(device=device, progress=progress)
        members = school.trained(kinds, where, n_jobs=n_jobs, checkpoint=checkpoint)
        for name, own in members.items():
            for number, member in enumerate(own):
                arrays |= {f"{name} {number}/{key}": value for key, value in member.state.items()}
        histories = [member.history for own in members.values() for member in own]
        self.history_ = pd.concat(histories, ignore_index=True) if histories else None
        told, middle = _told_apart(model, members, lesson, folds)
        return spec | told, arrays | middle

    def _answer(self, adata: AnnData, question: Question, device: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        answers = Answers(self._effective(), self.spec_, self.arrays_, device)
        expression, n_sources, fallback = answers.start._answer(adata, question, device)
        effects = expression - question.controls
        asked, known = compare(self.spec_, self.arrays_, question)
        for rows in asked.blocks():
            some, controls = asked.take(rows), question.controls[rows]
            if answers.model.start == "none":
                said, able = answers.towers_say(some, known, controls)
                effects[rows[able]] = said[able] - controls[able]
                simpler = np.where(fallback[rows] == "", "StackedShift", fallback[rows])
                fallback[rows] = np.where(able, "", simpler)
                continue
            effects[rows] += answers.corrections(some, known, controls)
            if answers.model.spread == "measured":
                middle = usual(some, known) + self._middle(some)
                effects[rows] = middle + self.spec_["stretch"] * (effects[rows] - middle)
        return question.controls + effects, n_sources, fallback

    def _middle(self, asked: Conditions) -> np.ndarray:
        """What predictions of each asked condition's context have in common beyond its usual effect."""
        middle = self.arrays_["middle"].astype(np.float64)
        return np.concatenate([middle, middle.mean(axis=0, keepdims=True)])[np.minimum(asked.context, len(middle))]

    def codes(self) -> pd.DataFrame:
        """Where states of contexts and effects of measured conditions lie, by the codes of the first towers.

        Returns
        -------
        DataFrame
            ``kind`` ("state", "effect"), ``name, context, x, y``: each kind on its own two principal axes. Without
            towers: of mean controls and of effects themselves.
        """
        answers, known = self._known()
        return placed(self.spec_, answers.states(), answers.effects(known))

    def similar(self, *, n: int = 10) -> pd.DataFrame:
        """The perturbations whose effect codes are most alike, by the cosine of their means over contexts.

        Parameters
        ----------
        n
            How many for each perturbation.

        Returns
        -------
        DataFrame
            ``perturbation, rank, neighbour, similarity``.
        """
        answers, known = self._known()
        return nearest(self.spec_, answers.effects(known), n)

    def interactions(self, adata: AnnData, conditions: pd.DataFrame | None = None, *, n: int = 20) -> pd.DataFrame:
        """Genes of each condition whose predicted effect departs most from the additive solution.

        Parameters
        ----------
        adata, conditions
            As for :meth:`predict`.
        n
            Genes of each condition.

        Returns
        -------
        DataFrame
            ``context, perturbation, gene, residual``: predicted effect less the mean of the perturbation's effects in
            other contexts (the sum over the parts of a combination), largest first. What the model claims, not what
            was measured.
        """
        predicted = self.predict(adata, conditions)
        additive = AdditivePairs()
        additive._restore(self.spec_, self.arrays_)
        asked = predicted.obs[["context", "perturbation", *(["dose"] if "dose" in predicted.obs else [])]]
        return interactions(predicted, additive.predict(adata, asked.reset_index(drop=True)), n)

    def _known(self) -> tuple[Answers, Known]:
        """The networks, and the measured conditions in the order of ``spec_["conditions"]``."""
        self._check_fitted()
        known = compare(self.spec_, self.arrays_, None)[1]
        # Known conditions are sorted by context, and so were those of the fit.
        return Answers(self._effective(), self.spec_, self.arrays_), known


def _told_apart(
    model: XTransferCDR, members: dict[str, list[Member]], lesson: Lesson, folds: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Shares of the networks, and how far and around what effects are stretched where that is wanted."""
    found = {name: shares.left_out(kind, lesson) for name, kind in members.items()}
    told = {"share_genes": 0.0, "share_towers": 0.0}
    if model.start != "none":
        told |= shares.learned(found, lesson, shares.n_groups(lesson, folds))
    said = lesson.start + sum(told[f"share_{name}"] * values for name, (values, _) in found.items())
    stretch, middle = shares.apart(said, lesson)
    return told | {"stretch": stretch}, {"middle": middle.astype(np.float32)}
