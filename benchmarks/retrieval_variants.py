"""Other networks for profiles, on validation perturbagens: do a 1-D CNN or a TabNet-like network beat dense layers?

python benchmarks/retrieval_variants.py --data ../shared/data

Everything but the encoder is the same: whitened profiles, noise, input dropout, the contrastive loss, training. The
perturbagens of the locked test are left out throughout; of the others a third validates, four times.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from anndata import AnnData
from retrieval import is_locked, profiles
from torch import Tensor, nn
from torch.nn import functional as F

from galenic.data.aligned import Aligned
from galenic.evaluate import holdout, retrieval
from galenic.models.profiles.discriminant import scatter
from galenic.models.profiles.profile_model import classes
from galenic.models.readacross.model import ReadAcross, _front
from galenic.nn.angular import AngularLoss
from galenic.nn.dense import Dense
from galenic.train import Batches, seeded, train


class Convolutional(nn.Module):
    """Three 1-D convolutions over the features in their order, pooled, and a linear map."""

    def __init__(self, n_features: int, n_latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv1d(before, after, 7, padding=3), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(4)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3))
        self.out = nn.Linear(64 * (n_features // 64), n_latent)

    def forward(self, x: Tensor) -> Tensor:
        """Output ``(n, n_latent)``."""
        result: Tensor = self.out(self.layers(x[:, None]))
        return result


class TabNetLike(nn.Module):
    """Three steps that each choose features by a learned mask, as TabNet does, with softmax for sparsemax."""

    def __init__(self, n_features: int, n_latent: int, width: int = 128, n_steps: int = 3) -> None:
        super().__init__()
        self.shared = nn.Linear(n_features, 2 * width)
        self.steps = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(n_steps))
        self.masks = nn.ModuleList(nn.Linear(width, n_features) for _ in range(n_steps))
        self.norm = nn.BatchNorm1d(n_features)
        self.out = nn.Linear(width, n_latent)

    def forward(self, x: Tensor) -> Tensor:
        """Output ``(n, n_latent)``."""
        x = self.norm(x)
        prior, total = torch.ones_like(x), torch.zeros(len(x), self.out.in_features)
        hidden = F.glu(self.shared(x), dim=1)
        for step, mask in zip(self.steps, self.masks, strict=True):
            chosen = (mask(hidden) + prior.clamp(min=1e-6).log()).softmax(dim=1)
            prior = prior * (1.3 - chosen)
            hidden = F.glu(step(F.glu(self.shared(chosen * x * x.shape[1]), dim=1)), dim=1)
            total = total + F.relu(hidden)
        result: Tensor = self.out(total)
        return result


class Noisy(nn.Module):
    """What ReadAcross does around a network: noise and dropout before, unit length after."""

    def __init__(self, net: nn.Module, loss: AngularLoss, model: ReadAcross) -> None:
        super().__init__()
        self.net, self.loss, self.model = net, loss, model

    def forward(self, x: Tensor) -> Tensor:
        """Unit rows."""
        if self.training:
            x = F.dropout(x + self.model.noise * torch.randn_like(x), self.model.input_dropout)
        return F.normalize(self.net(x), dim=1)


ENCODERS = {
    "densely connected, 4 x 64": lambda n, k: Dense(n, k, n_layers=4, growth=64, hidden_dropout=0.3),
    "one layer of 512": lambda n, k: Dense(n, k, n_layers=1, growth=512, hidden_dropout=0.3),
    "linear": lambda n, k: Dense(n, k, n_layers=0),
    "1-D CNN": Convolutional,
    "TabNet-like": TabNetLike,
}


def score(name: str, known: AnnData, asked: AnnData, seed: int, epochs: int) -> float:
    """Validation mAP of one encoder."""
    model = ReadAcross(shrinkage=1.0)
    rows, codes = Aligned(known, list(known.var_names)), classes(known, "pert_id")[0]
    front = _front(model, scatter(rows, codes, model.squash), 1.0)
    with seeded(seed):
        counts = torch.from_numpy(np.bincount(codes))
        net = Noisy(ENCODERS[name](known.n_vars, 128), AngularLoss("contrastive", counts, 128), model)
    batches = Batches({"x": front(rows[:]), "label": codes}, batch_size=512, together=codes)
    train(
        net,
        batches,
        lambda net, batch, progress: {"loss": net.loss(net(batch["x"]), batch["label"])},
        model.training.__class__(**{**vars(model.training), "max_epochs": epochs}),
        seed=seed,
        device="cpu",
    )
    with torch.no_grad():
        vectors = net(torch.from_numpy(front(Aligned(asked, list(known.var_names))[:]))).numpy()
    return float(retrieval(asked.obs, vectors).set_index("metric")["value"]["map"])


def main() -> None:
    """Print mean validation mAP of each encoder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", default=";".join(ENCODERS), help="encoders, separated by semicolons")
    parser.add_argument("--epochs", default="60,150")
    parser.add_argument("--divisions", type=int, default=4)
    args = parser.parse_args()
    adata = profiles(args.data / "l1000", "level5_multicell_24h_10uM")
    adata = adata[~is_locked(adata.obs["pert_id"])].copy()
    adata.obs["pert_id"] = adata.obs["pert_id"].astype(str)
    for name in args.only.split(";"):
        for epochs in map(int, args.epochs.split(",")):
            found = []
            for seed in range(args.divisions):
                fold = holdout(adata.obs.reset_index(), "pert_id", 1 / 3, seed=seed)
                found.append(score(name, adata[fold.train].copy(), adata[fold.test].copy(), seed, epochs))
            told = " ".join(f"{value:.3f}" for value in found)
            print(f"{name}, {epochs} epochs: mAP {np.mean(found):.3f} ({told})", flush=True)


if __name__ == "__main__":
    main()
