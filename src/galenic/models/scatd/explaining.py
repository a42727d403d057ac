"""Why a cell is called sensitive: contributions of its features to the model's logit, from a background of cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor, nn

from galenic.explain.attribution import Attribution, expected_gradients, integrated_gradients

Method = Literal["ig", "eg"]
Background = Literal["mean", "zero", "random", "mixed"]
N_BACKGROUND = 10
"""Cells that are drawn for a random background, as published."""
VALUES = 2**25
"""Numbers that go through the function at once: cells x places on the path x features."""
NOISES = 10
"""Draws of noise of each cell; the places on the path are shared out between them."""


class Explained(Protocol):
    """What a model must offer to be explained."""

    spec_: dict[str, Any]

    def function(self, device: str = "cpu") -> Callable[[Tensor], Tensor]:
        """Logits ``(n,)`` of standardised features ``(n, n_features)``; every row by itself."""

    def features_of(self, cells: AnnData) -> np.ndarray:
        """Standardised features of cells, aligned to the source, ``(n_cells, n_features)``."""


def attribute(
    model: Explained,
    cells: AnnData,
    *,
    method: Method = "ig",
    background: Background = "mean",
    reference: AnnData | None = None,
    n_steps: int = 32,
    n_samples: int = 100,
    n_background: int = N_BACKGROUND,
    noise: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
) -> AnnData:
    r"""Contributions of every feature to the logit of every cell; above 0 = towards sensitive.

    .. math:: \sum_g a_{cg} = f(x_c) - f(x')

    :math:`f` is the logit before it is smoothed over neighbours: start + share x network, averaged over members, on
    the mean latent. What smoothing adds belongs to other cells and is not attributed.

    Parameters
    ----------
    model
        A fitted ScATD. Its features are genes where it reads genes (among them: where its encoder is a student that
        was distilled to genes); where it reads an embedding (``use_rep``), numbers of the embedding are attributed,
        and genes need a distilled student.
    cells
        Cells to be explained. Not changed; labels in it are not read.
    method
        ``"ig"``: integrated gradients, from one background; ``"eg"``: expected gradients (GradientSHAP), averaged over
        the rows of a background.
    background
        What a cell is compared with. ``"mean"``: the mean of ``reference``; ``"zero"``: the origin of the standardised
        features, which is an average line of the source; ``"random"``: cells drawn from ``reference``, their mean for
        "ig", themselves for "eg"; ``"mixed"``: half the mean of all, half the mean of those drawn.
    reference
        Cells of the background; ``cells`` themselves where not given, which takes two or more. Contributions of a cell
        depend on no other cell but through this.
    n_steps
        Places on the path of "ig" (Gauss-Legendre), 1 or more.
    n_samples
        Draws of each cell in "eg", 1 or more; each has its own place on the path, and places cover it evenly.
    n_background
        Cells drawn for "random" and "mixed"; all where there are fewer.
    noise
        Standard deviation of the noise added to the cells in "eg", in units of the standardised features; published is
        0.09. Ten draws a cell. Above 0 the gap holds the effect of the noise too.
    seed
        Of everything drawn. The global random state is left alone.
    device
        Where networks compute: "cpu", "cuda".

    Returns
    -------
    AnnData
        Cells x features. ``X``: contributions to the logit, float32; ``layers["value"]``: the standardised features;
        ``obs``: that of ``cells`` with ``prediction`` (logit), ``baseline`` (logit of the background, its mean over
        rows) and ``gap`` (what contributions leave of the difference); ``uns["attribution"]``: the settings, and
        ``largest_gap`` as a share of the median absolute difference.

    Raises
    ------
    ValueError
        For a method, background or number that is not allowed, noise with "ig", too few cells for a background, or a
        model that answers from a few labelled cells.

    Notes
    -----
    Sundararajan, Taly and Yan, ICML 2017; Erion et al., Nature Machine Intelligence 2021; backgrounds and 100 draws as
    in scATD (Zhou et al., Briefings in Bioinformatics 2025). Differences: means of latents, never samples, so that
    contributions add up and repeat; one logit in place of two classes; Gauss-Legendre places in place of a Riemann sum;
    ten draws of noise in place of one for every place.

    Contributions say what the model reads, not what makes cells sensitive.

    Examples
    --------
    >>> class Line:
    ...     spec_ = {"features": ["A", "B"]}
    ...     def function(self, device="cpu"):
    ...         return lambda x: 2 * x[:, 0] - x[:, 1]
    ...     def features_of(self, cells):
    ...         return cells.X
    >>> cells = AnnData(np.array([[1.0, 3.0], [2.0, 2.0]]))
    >>> found = attribute(Line(), cells, background="zero")
    >>> found.X.tolist(), found.obs["prediction"].tolist()
    ([[2.0, -3.0], [4.0, -2.0]], [-1.0, 2.0])
    """
    _check(method, background, n_steps, n_samples, n_background, noise)
    _require_lines_answer(model)
    x = np.asarray(model.features_of(cells), dtype=np.float64)
    there = x if reference is None else np.asarray(model.features_of(reference), dtype=np.float64)
    rows = background_of(there, background, method=method, n_random=n_background, seed=seed)
    found = contributions(
        model.function(device), x, rows, method=method, n_steps=n_steps, n_samples=n_samples, noise=noise, seed=seed,
        device=device,
    )  # fmt: skip
    settings = {"method": method, "background": background, "noise": noise, "seed": seed}
    settings |= {"n_steps": n_steps} if method == "ig" else {"n_samples": n_samples}
    ways = np.abs(found.output - found.baseline_output)
    usual = float(np.median(ways)) if len(ways) else 0.0
    settings["largest_gap"] = float(np.abs(found.gap).max(initial=0.0)) / usual if usual else 0.0
    obs = cells.obs.assign(prediction=found.output, baseline=found.baseline_output, gap=found.gap)
    return AnnData(
        found.contributions[0].astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(model.spec_["features"], dtype=str)),
        layers={"value": x.astype(np.float32)},
        uns={"attribution": settings, "background": rows},
    )


def background_of(
    x: np.ndarray, kind: Background, *, method: Method = "ig", n_random: int = N_BACKGROUND, seed: int = 0
) -> np.ndarray:
    """Rows that contributions start from, ``(n_rows, n_features)``: one, but for "random" with "eg".

    Parameters
    ----------
    x
        Cells of the background, ``(n_cells, n_features)``.
    kind, method
        As for :func:`attribute`.
    n_random
        Cells to draw, without replacement; all where there are fewer.
    seed
        Of the draw.

    Raises
    ------
    ValueError
        If "mean", "random" or "mixed" is asked of fewer than two cells.

    Examples
    --------
    >>> background_of(np.array([[0.0, 2.0], [4.0, 4.0]]), "mean").tolist()
    [[2.0, 3.0]]
    """
    if kind == "zero":
        return np.zeros((1, x.shape[1]))
    if len(x) < 2:
        raise ValueError(
            f"the background {kind!r} is made of two cells or more; received {len(x)}. Give more cells as reference, "
            "or take the background 'zero'."
        )
    mean = x.mean(axis=0, keepdims=True)
    if kind == "mean":
        return mean
    drawn = x[np.random.default_rng(seed).choice(len(x), size=min(n_random, len(x)), replace=False)]
    if kind == "random":
        return drawn if method == "eg" else drawn.mean(axis=0, keepdims=True)
    return 0.5 * mean + 0.5 * drawn.mean(axis=0, keepdims=True)


def contributions(
    function: Callable[[Tensor], Tensor],
    x: np.ndarray,
    background: np.ndarray,
    *,
    method: Method = "ig",
    n_steps: int = 32,
    n_samples: int = 100,
    noise: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
) -> Attribution:
    """Contributions of features to a function of cells, in blocks that fit into memory.

    Parameters
    ----------
    function
        Takes ``(n, n_features)``, returns ``(n,)`` or ``(n, n_outputs)``.
    x, background
        Cells ``(n_cells, n_features)`` and rows to start from ``(n_rows, n_features)``; one row for "ig".
    method, n_steps, n_samples, noise, seed, device
        As for :func:`attribute`.

    Examples
    --------
    >>> x, background = np.array([[1.0, 2.0]]), np.zeros((1, 2))
    >>> contributions(lambda x: x[:, 0] * x[:, 1], x, background).contributions[0].round(6).tolist()
    [[1.0, 1.0]]
    """
    kind = precision(function)
    if not getattr(function, "share", 1):
        n_steps = 1  # without networks it is linear: one place is exact
    base = torch.as_tensor(background, dtype=kind, device=device)
    size = max(1, VALUES // max(1, x.shape[1] * (n_steps if method == "ig" else n_samples)))
    parts: list[Attribution] = []
    # An empty table has one empty block, so that its columns are right.
    for number, at in enumerate(range(0, max(1, len(x)), size)):
        rows = torch.as_tensor(x[at : at + size], dtype=kind, device=device)
        if method == "ig":
            parts.append(integrated_gradients(function, [rows], [base], n_steps=n_steps))
        else:
            parts.append(_expected(function, rows, base, n_samples, noise, 1000 * seed + number))
    values, output, usual = (
        np.concatenate(arrays)
        for arrays in zip(*((part.contributions[0], part.output, part.baseline_output) for part in parts), strict=True)
    )
    return Attribution([values], output, usual)


def precision(function: Any) -> torch.dtype:
    """Type of the numbers that a function computes in: that of its parameters and buffers, double where it has none."""
    numbers = [*function.parameters(), *function.buffers()] if isinstance(function, nn.Module) else []
    return next((number.dtype for number in numbers if number.is_floating_point()), torch.float64)


def _expected(
    function: Callable[[Tensor], Tensor], x: Tensor, base: Tensor, n_samples: int, noise: float, seed: int
) -> Attribution:
    """Expected gradients, averaged over noisy copies of the cells where there is noise."""
    if not noise:
        return expected_gradients(function, x, base, n_draws=n_samples, seed=seed)
    n_noises = min(NOISES, n_samples)
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n_noises):
        moved = x + noise * torch.as_tensor(rng.normal(size=x.shape), dtype=x.dtype, device=x.device)
        n_draws = len(range(number, n_samples, n_noises))
        found.append(expected_gradients(function, moved, base, n_draws=n_draws, seed=seed + number))
    with torch.no_grad():
        output = function(x).cpu().numpy()
    mean = np.mean([part.contributions[0] for part in found], axis=0)
    return Attribution([mean], output, found[0].baseline_output)


def _require_lines_answer(model: Any) -> None:
    """Refuse to explain one answer by the other: a few labelled cells overrule what lines taught."""
    if "few/weights" in getattr(model, "arrays_", {}):
        raise ValueError(
            f"contributions are those of what lines taught; this model answers from {model.spec_['few']} labelled "
            "cells and what resembles them. Explain the model without these labels."
        )


def _check(method: str, background: str, n_steps: int, n_samples: int, n_background: int, noise: float) -> None:
    if method not in get_args(Method) or background not in get_args(Background):
        raise ValueError(
            f"method should be one of {get_args(Method)} and background one of {get_args(Background)}; received "
            f"{method!r} and {background!r}. Choose among these."
        )
    if min(n_steps, n_samples, n_background) < 1 or not 0 <= noise < np.inf:
        raise ValueError(
            "n_steps, n_samples and n_background should be 1 or more, and noise 0 or more; received "
            f"{n_steps}, {n_samples}, {n_background} and {noise}. Correct these."
        )
    if noise and method == "ig":
        raise ValueError(f"noise is for method 'eg'; received noise={noise} with 'ig'. Set noise=0 or method='eg'.")
