"""Whether a query can be trusted: strong enough to have a direction, and near enough to what was learned from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from galenic.search.checks import lengths, matrix, unit

BLOCK = 4_000_000  # similarities at a time: bounds memory at about 50 MB
POINTS = 1_001  # quantiles kept of distances and strengths: a flag is right to a tenth of a per cent
STRONG = 2.0  # |z| above which a gene counts as changed


def signature_strength(profiles: np.ndarray, threshold: float = STRONG) -> np.ndarray:
    """Number of genes with ``|z| > threshold`` in each profile, ``(n_profiles,)``.

    Parameters
    ----------
    profiles
        z-scores, ``(n_profiles, n_genes)``.
    threshold
        Of ``|z|``.

    Examples
    --------
    >>> signature_strength(np.array([[3.0, -2.5, 0.1], [0.0, 1.0, 2.0]]))
    array([2, 0])
    """
    return np.asarray((np.abs(matrix(profiles, "profiles")) > threshold).sum(axis=1))


def activity(strength: np.ndarray, replicate_correlation: np.ndarray, n_genes: int = 978) -> np.ndarray:
    """Transcriptional activity in [0, 1]: geometric mean of strength (share of genes) and replicate correlation.

    Parameters
    ----------
    strength
        From :func:`signature_strength`, ``(n,)``.
    replicate_correlation
        Between the replicates of each profile, ``(n,)``; a negative one counts as 0, NaN (no replicates) gives NaN.
    n_genes
        Number of genes that strength was counted over.

    Notes
    -----
    ``sqrt(strength * max(correlation, 0) / n_genes)`` (Subramanian et al., Cell 2017). Below 0.2 a profile is
    usually taken as inactive.

    Examples
    --------
    >>> activity(np.array([98.0, 98.0]), np.array([0.4, -0.1])).round(2)
    array([0.2, 0. ])
    """
    return np.sqrt(np.asarray(strength) * np.maximum(replicate_correlation, 0) / n_genes)


class Applicability:
    """What distances and strengths are usual among training profiles, and which queries fall outside.

    Parameters
    ----------
    training
        Embeddings of the training profiles, ``(n, n_dims)``; only their directions count.
    strength
        :func:`signature_strength` of the training profiles, ``(n,)``; ``None`` if weakness is not to be judged by it.
    far
        Queries beyond this quantile of training distances are flagged ``"far"``.
    weak
        Queries below this quantile of training strengths are flagged ``"weak"``.
    least_activity
        Queries with an :func:`activity` below it are flagged ``"weak"``.
    max_rows
        The usual distances are measured on at most so many training profiles (to all others), chosen with ``seed``.
    seed
        Of that choice.

    Notes
    -----
    An embedding has length 1 whatever went in: a profile without signal lands at a random place of the sphere, and its
    neighbours mean nothing. Distance is 1 - cosine to the nearest training profile; usual is what training profiles
    have to their nearest *other* one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trained = Applicability(rng.normal([5.0, 0.0, 0.0], 1.0, size=(300, 3)))
    >>> trained.judge(np.array([[5.0, 0.2, 0.1], [-5.0, 0.0, 0.0]]))["flag"].tolist()
    ['', 'far']
    """

    def __init__(
        self,
        training: np.ndarray,
        strength: np.ndarray | None = None,
        *,
        far: float = 0.99,
        weak: float = 0.05,
        least_activity: float = 0.2,
        max_rows: int = 20_000,
        seed: int = 0,
    ) -> None:
        training = unit(matrix(training, "training embeddings"), "training embeddings").astype(np.float32)
        if len(training) < 2:
            raise ValueError(
                f"usual distances need at least 2 training profiles; received {len(training)}. Give those of the fit."
            )
        rows = np.arange(len(training))
        if len(rows) > max_rows:
            rows = np.sort(np.random.default_rng(seed).choice(len(rows), max_rows, replace=False))
        self.training = training
        self.distances = _quantiles(_nearest(training[rows], training, np.ones((len(rows), 1)), rows)[0])
        self.strengths = np.zeros(0) if strength is None else _quantiles(_one_each(strength, len(training), "strength"))
        self.far, self.weak, self.least_activity = float(far), float(weak), float(least_activity)

    def judge(
        self,
        embedding: np.ndarray,
        strength: np.ndarray | None = None,
        replicate_correlation: np.ndarray | None = None,
        *,
        n_genes: int = 978,
    ) -> pd.DataFrame:
        """Flag queries that are weak or far from everything learned.

        Parameters
        ----------
        embedding
            Of the queries, ``(n_queries, n_dims)``.
        strength
            :func:`signature_strength` of their profiles, ``(n_queries,)``.
        replicate_correlation
            Between their replicates, where there are any, ``(n_queries,)``; NaN where there are none.
        n_genes
            Number of genes that strength was counted over.

        Returns
        -------
        pandas.DataFrame
            ``nearest`` (row of the nearest training profile), ``distance``, ``distance_quantile`` (share of training
            distances that are smaller), ``strength``, ``strength_quantile``, ``activity`` (these are NaN where
            they cannot be told), ``flag`` (``""``, ``"far"``, ``"weak"`` or ``"weak, far"``) and ``reason`` in words.
        """
        queries = matrix(embedding, "query embeddings", self.training.shape[1])
        n = len(queries)
        distance, nearest = _nearest(queries, self.training, lengths(queries, "query embeddings"))
        strong = np.full(n, np.nan) if strength is None else _one_each(strength, n, "strength")
        together = np.full(n, np.nan)
        if replicate_correlation is not None:
            together = activity(strong, _one_each(replicate_correlation, n, "replicate_correlation"), n_genes)
        table = pd.DataFrame(
            {
                "nearest": nearest,
                "distance": distance,
                "distance_quantile": _share_below(self.distances, distance),
                "strength": strong,
                "strength_quantile": _share_below(self.strengths, strong),
                "activity": together,
            }
        )
        return table.assign(**self._flags(table))

    def state(self) -> dict[str, np.ndarray]:
        """Everything learned, as arrays that a model folder can hold; see :meth:`from_state`."""
        thresholds = np.array([self.far, self.weak, self.least_activity])
        return {
            "training": self.training,
            "distances": self.distances,
            "strengths": self.strengths,
            "thresholds": thresholds,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Applicability:
        """Take up what :meth:`state` gave."""
        missing = [name for name in ("training", "distances", "strengths", "thresholds") if name not in state]
        if missing:
            raise ValueError(f"the state needs {', '.join(missing)}; received {', '.join(state)}. Save state() whole.")
        own = cls.__new__(cls)
        own.training, own.distances, own.strengths = (state[name] for name in ("training", "distances", "strengths"))
        own.far, own.weak, own.least_activity = map(float, state["thresholds"])
        return own

    def _flags(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        far = (table["distance_quantile"] > self.far).to_numpy()
        few = (table["strength_quantile"] < self.weak).to_numpy()
        inactive = (table["activity"] < self.least_activity).to_numpy()
        said = [
            (far, f"farther from training than {self.far:.0%} of training profiles are from each other"),
            (few, f"fewer changed genes than {1 - self.weak:.0%} of training profiles"),
            (inactive, f"activity below {self.least_activity:g}"),
        ]
        reason = np.full(len(table), "", dtype=object)
        for chosen, words in said:
            reason[chosen] = np.where(reason[chosen] == "", words, reason[chosen] + "; " + words)
        weak = few | inactive
        flag = np.select([weak & far, weak, far], ["weak, far", "weak", "far"], default="")
        return {"flag": flag, "reason": reason}


def _nearest(
    queries: np.ndarray, training: np.ndarray, size_of: np.ndarray, itself: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distance (1 - cosine) to the nearest training row, and which, of queries with these lengths.

    A row's ``itself`` is passed over.
    """
    distance, nearest = np.empty(len(queries)), np.empty(len(queries), dtype=np.intp)
    size = max(1, BLOCK // len(training))
    for start in range(0, len(queries), size):
        part = queries[start : start + size] / size_of[start : start + size]
        similarity = part.astype(np.float32) @ training.T
        if itself is not None:
            similarity[np.arange(len(similarity)), itself[start : start + size]] = -np.inf
        best = similarity.argmax(axis=1)
        nearest[start : start + size] = best
        distance[start : start + size] = 1 - similarity[np.arange(len(best)), best]
    return np.maximum(distance, 0), nearest


def _quantiles(values: np.ndarray) -> np.ndarray:
    return np.quantile(np.asarray(values, dtype=np.float64), np.linspace(0, 1, POINTS))


def _share_below(quantiles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the values behind the quantiles that are smaller, ``(n,)``; NaN where nothing is known."""
    if not len(quantiles):
        return np.full(len(values), np.nan)
    share = np.clip(np.searchsorted(quantiles, values, side="left") / (len(quantiles) - 1), 0, 1)
    return np.where(np.isnan(values), np.nan, share)


def _one_each(values: np.ndarray, n: int, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(
            f"{what} should hold one number for each of {n:,} profiles; received shape {values.shape}. "
            "Compute it from the same profiles in the same order."
        )
    return values
