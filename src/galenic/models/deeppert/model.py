"""DeepPert: dimensions that many small autoencoders of profiles agree on, and the genes behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from galenic.data.aligned import Aligned
from galenic.data.checks import require_unique
from galenic.explain.attribution import Rule, expected_gradients, integrated_gradients
from galenic.models.deeppert.attribution import ensemble_function, ensemble_weights
from galenic.models.deeppert.checks import require_genes, require_room
from galenic.models.deeppert.consensus import Consensus, consensus
from galenic.models.deeppert.enrichment import enrich
from galenic.models.deeppert.ensemble import fit_all, tasks
from galenic.models.deeppert.front import Deviations, Front
from galenic.models.deeppert.latents import Latents
from galenic.models.deeppert.member import FAMILIES, NETWORKS, Layers, Lesson, Member, encoded, layers_of
from galenic.models.fields import param
from galenic.models.profiles.profile_model import ProfileModel, require_learnable, unit
from galenic.models.readacross import context as contexts
from galenic.train import Training
from galenic.work.kept import digest

Kind = Literal["signed", "absolute", "mean", "spread"]


def _training() -> Training:
    return Training(
        lr=2e-3, batch_size=128, max_epochs=20, patience=0, schedule="cosine", optimizer="adam", monitor="none"
    )


@dataclass(kw_only=True, repr=False)
class DeepPert(ProfileModel):
    r"""Ensemble of small autoencoders of several families, sizes and seeds; its dimensions are what they agree on.

    Genes are standardised and projected on principal components, :math:`s = M^\top d`; each member :math:`m` encodes
    :math:`s` to latents :math:`z_m(s)`. Latents of all members are standardised, their signs aligned, and clustered;
    dimension :math:`c` of the embedding is the mean of the latents in its cluster,

    .. math:: e_c = \frac{1}{|c|} \sum_{j \in c} \sigma_j \frac{z_j - \bar z_j}{\mathrm{sd}(z_j)},

    with signs :math:`\sigma_j`. Gene weights are averaged in the same way from integrated gradients, which reach genes
    exactly, as the projection is a layer of the network.

    Parameters
    ----------
    families
        Among "ae", "dae" (denoising), "vae", "linear" (VAE with a linear decoder), "pca", "ica", "rp" (random
        projection); see :class:`galenic.nn.autoencoders.Autoencoder`. "pca" is fitted once, at the largest size.
    sizes
        Numbers of latents of a member.
    runs
        Members of each family and size, which differ in seed.
    n_components
        Principal components that members read; fewer where there are fewer genes or profiles.
    scale_genes
        Divide each gene by its standard deviation; otherwise genes are only centred.
    covariates
        Columns of the profiles (dose, time, cell) that latents should not carry. Numbers enter as log(1 + value).
    adjust
        How: "regress" removes their linear effect on each gene first, at embedding too; "decoder" gives them to the
        decoders of the networks, so that new profiles need no covariates.
    beta, warmup
        Weight of the KL term of variational members, and the share of training over which it rises from 0.
    noise
        Standard deviation of the noise of "dae", in units of the (standardised) genes.
    dropout
        Share of hidden values dropped in training in "ae" and "dae".
    unmix
        Rotate the latents of each network to independent components. A linear map of latents changes nothing that an
        autoencoder can tell; without this, members agree on a space and on no direction in it.
    n_consensus
        Number of dimensions; None = chosen.
    choose
        By "stability" (the most that random halves of the members agree on), or by "g-means".
    shared
        A latent that correlates less than this with every latent of other members is set aside; 0 = none is.
    min_leaf
        Fewest latents that G-means splits off.
    merge
        Dimensions that correlate this much are merged, where their number is chosen; 1 = never.
    n_explained
        Training profiles that gene weights are averaged over, at most.
    n_steps, rule
        Of integrated gradients: "midpoint", "gauss-legendre" or "left".
    as_published
        The published pipeline: VAE alone, genes not scaled, decoder not mirrored, no warm-up, 100 epochs,
        raw latents clustered and averaged, left rule with 50 steps, contributions of components spread over genes by
        the loadings. The fields for these then count for nothing.
    training
        Of each network.
    seed
        Of first weights, batches, noise, and of the profiles that gene weights are averaged over.

    Attributes
    ----------
    latents_ : DataFrame
        A row a latent: ``family, size, run, node, cluster`` (its dimension; -1 = idle, or shared by no other member),
        ``sign, agreement`` (mean correlation with the others of its dimension), ``link`` (strongest correlation with a
        latent of another member; NaN = idle), ``loss`` (of its member), ``gap`` (mean completeness gap of its
        attribution, in standard deviations of the latent).
    history_ : DataFrame
        A row a network and epoch: terms of the loss, and beta. Not saved.
    curve_ : DataFrame or None
        Stability by number of dimensions, where it chose. Not saved.

    Notes
    -----
    After Deep-pert (which builds on DeepProfile, Qiu et al. 2022). Differences from the published code: dose is no
    gene; every family counts, not only VAE; latents are means, not samples; beta does rise; latents are unmixed, signs
    aligned, latents standardised; textbook G-means; genes are attributed by the chain rule. docs/methods/deeppert.md
    shows what they change.

    Examples
    --------
    >>> from galenic.data.simulate import programmes
    >>> adata = programmes(n_perturbagens=20, n_genes=60, n_programmes=3, genes_per_programme=10, seed=0)
    >>> training = Training(max_epochs=2, monitor="none")
    >>> model = DeepPert(sizes=(3,), runs=2, n_components=10, training=training).fit(adata)
    >>> model.embed(adata).shape[0], model.weights().shape[0], len(model.latents_)
    (240, 60, 18)
    """

    families: tuple[str, ...] = ("ae", "dae", "vae")
    sizes: tuple[int, ...] = param((5, 10, 25, 50), low=1)
    runs: int = param(5, low=1)
    n_components: int = param(150, low=1)
    scale_genes: bool = True
    covariates: tuple[str, ...] = ()
    adjust: Literal["regress", "decoder"] = "regress"
    beta: float = param(1.0, low=0)
    warmup: float = param(0.5, low=0, high=1)
    noise: float = param(1.0, low=0)
    dropout: float = param(0.1, low=0, high=0.99)
    unmix: bool = True
    n_consensus: int | None = param(None, low=1)
    choose: Literal["stability", "g-means"] = "stability"
    shared: float = param(0.5, low=0, high=1)
    min_leaf: int = param(3, low=1)
    merge: float = param(0.9, low=0, high=1)
    n_explained: int = param(256, low=1)
    n_steps: int = param(16, low=1)
    rule: Rule = "midpoint"
    as_published: bool = False
    training: Training = field(default_factory=_training)
    seed: int = param(0, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.families if name not in FAMILIES]
        twice = len(set(self.families)) < len(self.families) or len(set(self.sizes)) < len(self.sizes)
        if unknown or twice or not self.families or not self.sizes:
            raise ValueError(
                f"DeepPert.families should be one or more of {FAMILIES}, and sizes one or more numbers, each once; "
                f"received {self.families} and {self.sizes}. Correct these."
            )
        if self.covariates and self.adjust == "decoder" and not set(self.families) <= set(NETWORKS):
            raise ValueError(
                f'adjust="decoder" needs decoders, which {NETWORKS} have; received families {self.families}. '
                'Leave the others out, or use adjust="regress".'
            )

    def _effective(self) -> DeepPert:
        """The fields that count: those of the publication where it is asked for."""
        if not self.as_published:
            return self
        training = Training(lr=1e-3, batch_size=256, max_epochs=100, patience=0, optimizer="adam", schedule="cosine",
                            monitor="none")  # fmt: skip
        return replace(
            self, families=("vae",), scale_genes=False, beta=1.0, warmup=0.0, unmix=False, choose="g-means", merge=1.0,
            shared=0.0, min_leaf=2, n_steps=50, rule="left", training=training,
        )  # fmt: skip

    def fit(
        self,
        adata: AnnData,
        *,
        label: str = "pert_id",
        valid: AnnData | None = None,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Learn from profiles.

        Parameters
        ----------
        adata
            Profiles x genes, z-scores (level 4 or 5). Not changed.
        label
            Not read.
        valid
            Not read.
        n_jobs
            Members that are fitted at the same time.
        device
            Where networks are trained: ``"cpu"``, ``"cuda"``, ``"auto"``.
        progress
            Show a progress bar.
        checkpoint
            Folder in which each member is kept as soon as it is finished. A later fit to the same profiles with the
            same settings reads them from there and fits those that are missing; families, sizes, runs and all that
            concerns consensus and attribution may differ.

        Raises
        ------
        ValueError
            If genes or profiles stand twice, a column is no gene, values are infinite or no z-scores, there are too few
            profiles or genes for a latent size, or ``checkpoint`` is of other profiles or settings.
        RuntimeError
            If a member cannot be fitted; it is named.

        Warns
        -----
        UserWarning
            If genes are constant, or profiles empty.
        """
        require_unique(adata.var_names, "gene ids of the profiles")
        require_unique(adata.obs_names, "ids of the profiles")
        symbols = adata.var["symbol"].astype(str).tolist() if "symbol" in adata.var else None
        spec: dict[str, Any] = {"genes": list(map(str, adata.var_names)), "symbols": symbols, "label": label}
        require_genes(spec["genes"])
        require_learnable(adata, type(self).__name__)
        how: dict[str, Any] = {"n_jobs": n_jobs, "device": device, "progress": progress, "checkpoint": checkpoint}
        self._restore(*self._learn(adata, self._rows(adata, spec), spec, **how))
        return self

    def _learn(
        self,
        adata: AnnData,
        rows: Aligned,
        spec: dict[str, Any],
        *,
        n_jobs: int = 1,
        device: str = "cpu",
        progress: bool = False,
        checkpoint: str | Path | None = None,
        **how: Any,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        model = self._effective()
        spec["covariates"] = contexts.learn(adata.obs, model.covariates)
        known = contexts.encode(adata.obs, spec["covariates"])
        removed, given = _shared(known, model.adjust)
        front = Front.fit(
            rows, removed, spec["genes"], n_components=model.n_components, scale_genes=model.scale_genes,
            seed=model.seed,
        )  # fmt: skip
        require_room(max(model.sizes), len(rows), front)
        deviations = Deviations(rows, removed, front)
        scores = deviations.scores()
        wanted = tasks(model.families, model.sizes, model.runs)
        source = digest(np.array([digest(part) for _, part in rows.blocks()]), known)
        lesson = _lesson(model, scores, given, float(front.unit[0]), source)
        members = fit_all(wanted, lesson, folder=checkpoint, n_jobs=n_jobs, device=device, progress=progress)
        spec["members"] = [{**vars(member.task), "loss": member.loss} for member in members]
        owners = np.repeat(np.arange(len(members)), [member.task.size for member in members])
        latents = Latents(scores, [member.layers for member in members])
        found = consensus(
            latents, owners, n_consensus=model.n_consensus, choose=model.choose, shared=model.shared,
            min_leaf=model.min_leaf, merge=model.merge, align=not self.as_published, seed=model.seed,
        )  # fmt: skip
        self.history_, self.curve_ = _histories(members), found.curve
        arrays = {f"front/{name}": array for name, array in vars(front).items()}
        for number, member in enumerate(members):
            for layer, (weight, bias) in enumerate(member.layers):
                arrays |= {f"member {number}/{layer}/weight": weight, f"member {number}/{layer}/bias": bias}
        arrays |= {
            "latent/cluster": found.labels, "latent/sign": found.signs, "latent/agreement": found.agreement,
            "latent/link": found.link, "latent/centre": found.centre, "latent/deviation": found.deviation,
        }  # fmt: skip
        weights = ensemble_weights(
            [member.layers for member in members], front.matrix(), deviations, found, most=model.n_explained,
            n_steps=model.n_steps, rule=model.rule, as_published=self.as_published, seed=model.seed,
        )  # fmt: skip
        return spec, arrays | weights

    def _front(self) -> Front:
        return Front(
            **{name.removeprefix("front/"): a for name, a in self.arrays_.items() if name.startswith("front/")}
        )

    def _consensus(self) -> Consensus:
        names = {"labels": "cluster", "signs": "sign", "centre": "centre", "deviation": "deviation"}
        parts = {field: self.arrays_[f"latent/{name}"] for field, name in names.items()}
        return Consensus(**parts, agreement=self.arrays_["latent/agreement"], link=self.arrays_["latent/link"])

    def _encoders(self) -> list[Layers]:
        return [layers_of(self.arrays_, f"member {number}/") for number in range(len(self.spec_["members"]))]

    def _deviations(self, part: np.ndarray, obs: pd.DataFrame) -> np.ndarray:
        front = self._front()
        removed = np.zeros((len(part), 0), dtype=np.float32)
        if len(front.effects):
            removed = contexts.encode(obs, self.spec_["covariates"])
        return front.deviations(part, removed)

    def _embed_rows(self, part: np.ndarray, obs: pd.DataFrame, device: str) -> np.ndarray:
        scores, found = self._front().scores(self._deviations(part, obs)), self._consensus()
        latents = np.concatenate([encoded(layers, scores) for layers in self._encoders()], axis=1)
        return ((latents - found.centre) @ found.mixing()).astype(np.float32)

    def transform(self, adata: AnnData, *, device: str = "cpu") -> np.ndarray:
        """The dimensions of new profiles, ``(n_profiles, n_dimensions)``: :meth:`embed` by another name."""
        return self.embed(adata, device=device)

    def similarity(self, queries: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Cosine of embedded profiles, ``(n_queries, n_references)`` float32.

        Parameters
        ----------
        queries
            Embedded profiles, ``(n_queries, n_dims)``.
        references
            Embedded profiles, ``(n_references, n_dims)``.
        """
        self._check_fitted()
        return np.asarray(unit(np.asarray(queries)) @ unit(np.asarray(references)).T)

    @property
    def latents_(self) -> pd.DataFrame:
        """Every latent of every member and what became of it."""
        self._check_fitted()
        members = pd.DataFrame(self.spec_["members"])
        table = members.loc[members.index.repeat(members["size"])].reset_index(drop=True)
        table.insert(3, "node", np.concatenate([np.arange(n) for n in members["size"]]))
        columns = {name: self.arrays_[f"latent/{name}"] for name in ("cluster", "sign", "agreement", "link")}
        return table.assign(**columns, gap=self.arrays_["latent/gap"])[
            ["family", "size", "run", "node", "cluster", "sign", "agreement", "link", "loss", "gap"]
        ]

    @property
    def dimensions_(self) -> pd.DataFrame:
        """A row a dimension: ``n_latents``, ``n_members`` that they are of, ``n_families``, and mean ``agreement``."""
        table = self.latents_.query("cluster >= 0")
        table = table.assign(member=table["family"] + table["size"].astype(str) + "-" + table["run"].astype(str))
        return table.groupby("cluster").agg(
            n_latents=("node", "size"), n_members=("member", "nunique"), n_families=("family", "nunique"),
            agreement=("agreement", "mean"),
        ).rename_axis("dimension")  # fmt: skip

    def weights(self, kind: Kind = "signed") -> pd.DataFrame:
        """Genes behind each dimension.

        Parameters
        ----------
        kind
            "signed": what the dimension gains where the gene rises by a standard deviation, mean over training
            profiles. "absolute": mean absolute contribution. "mean": mean contribution, near 0 where encoders are
            nearly linear. "spread": standard deviation of "signed" over the latents of the dimension (NaN where one is
            alone).

        Returns
        -------
        DataFrame
            Genes x dimensions, the dimension that most latents agree on first.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        ValueError
            For another kind.
        """
        self._check_fitted()
        if kind not in get_args(Kind):
            raise ValueError(f"kind should be one of {get_args(Kind)}; received {kind!r}. Choose one of them.")
        return pd.DataFrame(self.arrays_[f"weights/{kind}"], index=pd.Index(self.spec_["genes"], name="gene"))

    def contributions(
        self, adata: AnnData, *, background: AnnData | None = None, n_steps: int = 50, rule: Rule = "midpoint"
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each gene adds to each dimension of each profile, against the mean profile or a background.

        Parameters
        ----------
        adata
            Profiles; a few, as the answer holds a number for each gene and dimension of each.
        background
            Profiles to compare with (expected gradients), in place of the mean profile of the fit.
        n_steps, rule
            Of :func:`galenic.explain.attribution.integrated_gradients`; with a background, ``n_steps`` draws of
            :func:`galenic.explain.attribution.expected_gradients`, of which 200 or more are usual.

        Returns
        -------
        contributions : ndarray, (n_profiles, n_genes, n_dimensions)
            They sum to the profile's embedding less that of the mean profile, or the mean one of the background.
        gap : ndarray, (n_profiles, n_dimensions)
            By how much they do not.
        """
        self._check_fitted()
        function = ensemble_function(self._encoders(), self._front().matrix(), self._consensus().mixing())
        x = torch.from_numpy(self._all_deviations(adata))
        if background is None:
            found = integrated_gradients(function, [x], [torch.zeros_like(x[:1])], n_steps=n_steps, rule=rule)
        else:
            start = torch.from_numpy(self._all_deviations(background))
            found = expected_gradients(function, x, start, n_draws=n_steps, seed=self.seed)
        return found.contributions[0], found.gap

    def _all_deviations(self, adata: AnnData) -> np.ndarray:
        parts = self._rows(adata, self.spec_).blocks()
        return np.concatenate([self._deviations(part, adata.obs.iloc[numbers]) for numbers, part in parts])

    def enrich(self, pathways: Mapping[str, Iterable[str]], *, top: int = 100, minimum: int = 5) -> pd.DataFrame:
        """Pathways whose genes stand out in a dimension; see :func:`galenic.models.deeppert.enrichment.enrich`.

        Genes are named as in the fit, or by their symbols where more pathways use these.
        """
        weights, absolute, symbols = self.weights(), self.weights("absolute"), self.spec_["symbols"]
        named = {str(gene) for genes in pathways.values() for gene in genes}
        if symbols is not None and len(named & set(symbols)) > len(named & set(weights.index)):
            kept = ~pd.Index(symbols).duplicated(keep=False)
            weights, absolute = (t.set_axis(pd.Index(symbols), axis=0)[kept] for t in (weights, absolute))
        return enrich(weights, pathways, absolute=absolute, top=top, minimum=minimum)


def _shared(known: np.ndarray, adjust: str) -> tuple[np.ndarray, np.ndarray]:
    """Covariates to remove from genes, and those to give to decoders; one of the two has no columns."""
    none = known[:, :0]
    return (known, none) if adjust == "regress" else (none, known)


def _lesson(model: DeepPert, scores: np.ndarray, context: np.ndarray, scale: float, data: str) -> Lesson:
    shape = f"n_components={scores.shape[1]} scale_genes={model.scale_genes} adjust={model.adjust}"
    return Lesson(
        scores, context, scale, model.training, model.beta, model.warmup, model.noise, model.dropout, model.unmix,
        model.as_published, model.seed, f"{shape} profiles={data}",
    )  # fmt: skip


def _histories(members: list[Member]) -> pd.DataFrame | None:
    tables = []
    for number, member in enumerate(members):
        if len(member.history):
            table = member.history.copy()
            table.insert(0, "stage", "network")
            table.insert(1, "member", number)
            table.insert(2, "name", member.task.name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else None
