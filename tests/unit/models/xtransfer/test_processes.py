"""Towers trained in two processes are those of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, warnings
from pathlib import Path
import numpy as np, torch
from galenic.data.condition_pairs import pair_index
from galenic.data.perturbation import perturbation_columns
from galenic.data.simulate import perturbations
from galenic.models.xtransfer.member import _Step
from galenic.models.xtransfer.network import Towers, Weights
from galenic.models.xtransfer.pairs import Pairs, Profiles, Scale
from galenic.train import Training, seeded, train

folder, n_processes = Path(sys.argv[1]), int(sys.argv[2])
fabric = None
if n_processes > 1:
    import lightning
    fabric = lightning.Fabric(accelerator="cpu", devices=n_processes, strategy="ddp")
    fabric.launch()

adata = perturbations(n_contexts=3, n_perturbations=5, n_genes=12, n_cells=4)
step = _Step(Weights(state_of_control=1.0, null_effect=1.0))

class Together:
    "Two batches of one process where two processes have one each."

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs) // 2

    def epoch(self, epoch=0, **where):
        batches = list(self.pairs.epoch(epoch, seed=where["seed"]))
        return [{"both": batches[i:i + 2]} for i in range(0, len(batches), 2)]

def both(net, batch, progress):
    parts = [step(net, one, progress) for one in batch["both"]]
    return {name: (parts[0][name] + parts[1][name]) / 2 for name in parts[0]}

def joined(net, batch, progress):
    one, other = batch["both"]
    whole = {name: torch.cat([one[name], other[name]]) for name in one if name != "kind"}
    return step(net, whole | {"kind": one["kind"]}, progress)

found = {}
for mode, alone in (("drug", joined), ("both", both)):
    index = pair_index(perturbation_columns(adata), mode)
    profiles = Profiles(adata.X, np.zeros(adata.n_obs, dtype=int), None, None, Scale(np.zeros(1), 1.0))
    pairs = Pairs(profiles, index, None, batch_size=6, n_batches=8)
    with seeded(0):
        net = Towers(12, (10, 8, 6, 4), noise=0.0, dropout=0.0, norm="layer", n_residual=1)
    batches = pairs if fabric else Together(pairs)
    training = Training(lr=1e-2, max_epochs=3, clip=1.0, monitor="none")
    history = train(net, batches, step if fabric else alone, training, fabric=fabric, device="cpu", seed=3)
    weights = {name: tensor.tolist() for name, tensor in net.state_dict().items()}
    found[mode] = {"weights": weights, "history": history.drop(columns="seconds").to_dict("list")}
rank = fabric.global_rank if fabric else "alone"
(folder / f"{rank}.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_two_processes_have_the_weights_and_numbers_of_one(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is in the extra [scale]")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for n in (1, 2):
        subprocess.run([sys.executable, script, tmp_path, str(n)], check=True, capture_output=True, timeout=200)
    alone, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "0", "1"))
    assert first == second
    for mode, one in alone.items():
        other = first[mode]
        assert one["history"].keys() == other["history"].keys()
        for name, values in one["history"].items():
            assert values == pytest.approx(other["history"][name], rel=1e-5, abs=1e-6), name
        assert one["weights"].keys() == other["weights"].keys()
        for name, values in one["weights"].items():
            flat, again = (_flat(weights) for weights in (values, other["weights"][name]))
            assert flat == pytest.approx(again, abs=1e-5), name


def _flat(values: object) -> list[float]:
    return [one for value in values for one in _flat(value)] if isinstance(values, list) else [float(values)]
