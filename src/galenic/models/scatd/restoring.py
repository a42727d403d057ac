"""A fitted ScATD as a network again, out of its arrays."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galenic.models.scatd.network import CellClassifier, CellFunction, Placed
from galenic.models.scatd.presets import Recipe, new_net
from galenic.train import seeded


def function_of(spec: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> CellFunction:
    """The members together, in evaluation mode.

    Parameters
    ----------
    spec, arrays
        Of a fitted :class:`~galenic.models.scatd.model.ScATD`.
    """
    weights, intercepts = (_tensor(arrays[f"start/{name}"]) for name in ("weights", "intercepts"))
    weight = float(spec["network_weight"])
    if not weight:
        return CellFunction(weights, intercepts, [], 0.0).eval()
    known = spec["encoder"]
    placed = Placed(arrays["placed/places"].tolist(), known["n_features"], None, None)
    placed.load_state_dict({name: torch.from_numpy(np.array(arrays[f"placed/{name}"])) for name in placed.state_dict()})
    empty = _empty(known)
    networks = [_network(empty, arrays, number) for number in range(spec["n_members"])]
    return CellFunction(weights, intercepts, networks, weight, placed).eval()


def _empty(known: Mapping[str, Any]) -> nn.Module:
    """A network whose weights are to be replaced: on the "meta" device spectral norms take longer than drawing them."""
    recipe = Recipe.of_json(known["recipe"])
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        vae = new_net(recipe, known["n_features"])
        return CellClassifier(vae.encoder, recipe.n_latent, critic=known["critic"])


def _network(empty: nn.Module, arrays: Mapping[str, np.ndarray], number: int) -> nn.Module:
    net = copy.deepcopy(empty)
    state = {}
    for name, like in net.state_dict().items():
        saved = arrays[f"member {number}/{name}"] if f"member {number}/{name}" in arrays else arrays[name]
        state[name] = torch.from_numpy(np.array(saved)).reshape(like.shape)
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
