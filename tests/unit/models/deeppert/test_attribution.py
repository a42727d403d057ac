"""Mean slopes of ReLU encoders by products of masks, against gradients step by step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from galenic.explain.attribution import mean_slopes
from galenic.models.deeppert.attribution import behind_first, relu_slopes, score_slopes


@pytest.mark.parametrize("rule", ["midpoint", "left", "gauss-legendre"])
@pytest.mark.parametrize("widths", [(12, 5), (12, 9, 5)])
def test_mean_slopes_are_those_of_autograd(widths: tuple[int, ...], rule: str, rng: np.random.Generator) -> None:
    pairs = pairwise(widths)
    rest = [(torch.from_numpy(rng.normal(size=(b, a))), torch.from_numpy(rng.normal(size=b))) for a, b in pairs]
    starts, ways = (torch.from_numpy(rng.normal(size=(7, 12))) for _ in range(2))
    (expected,) = mean_slopes(behind_first(rest), [starts], [ways], n_steps=6, rule=rule)
    found = relu_slopes(rest, starts, ways, 6, rule)
    torch.testing.assert_close(found, expected)


def test_deep_encoders_take_the_long_way(rng: np.random.Generator) -> None:
    widths = (10, 8, 7, 6, 3)
    layers = [(rng.normal(size=(b, a)).astype(np.float32), rng.normal(size=b).astype(np.float32))
              for a, b in pairwise(widths)]  # fmt: skip
    scores = rng.normal(size=(4, 10))
    slopes = score_slopes(layers, scores, n_steps=400, rule="midpoint")
    whole = behind_first([(torch.from_numpy(w), torch.from_numpy(b)) for w, b in layers[1:]])

    def latents(values: np.ndarray) -> np.ndarray:
        weight, bias = layers[0]
        return whole(torch.from_numpy((values @ weight.T + bias).astype(np.float32))).numpy()

    change = latents(scores) - latents(np.zeros_like(scores))
    np.testing.assert_allclose(np.einsum("nk,nkl->nl", scores, slopes), change, atol=0.05)
