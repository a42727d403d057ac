"""Fits that are killed and go on, in processes forked from one that has everything loaded: run by ``test_killed``.

    python killed_fits.py FOLDER NUMBER_OF_KILLS SEED

prints, as JSON by system, what an uninterrupted fit came to and what each of the killed ones did.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import galenic
from galenic.data.simulate import perturbations, profiles, programmes, screen
from galenic.data.simulate.single_cell import bulk_and_cells
from galenic.train import Training, loop


def brief(epochs: int, **how: Any) -> Training:
    return Training(**{"lr": 2e-3, "max_epochs": epochs, "batch_size": 64, "patience": 0, "monitor": "none"} | how)


SCREEN = screen(n_cells=20, n_drugs=5, n_genes=30, n_drivers=2, missing=0.1, seed=1)[0]
PROFILES = profiles(n_perturbagens=20, n_genes=60, seed=0)
CELLS = perturbations(n_contexts=3, n_perturbations=6, n_genes=10, n_cells=4)
LINES, TUMOUR = bulk_and_cells(n_genes=60, n_lines=60, n_cells=80, n_drivers=15, seed=0)
PROGRAMMES = programmes(20, 40, n_programmes=3, genes_per_programme=10, n_cells=1, seed=0)
SYSTEMS: dict[str, Callable[[Path], Any]] = {
    "KDRUG": lambda folder: galenic.KDRUG(
        n_members=2,
        n_latent=8,
        hidden=16,
        stages=2,
        start="means",
        relation=0.02,
        training=brief(2),
        structure_epochs=1,
    ).fit(SCREEN, device="cpu", checkpoint=folder),
    "ReadAcross": lambda folder: galenic.ReadAcross(
        n_latent=16, n_members=3, shrinkage=1.0, reliability=0.5, training=brief(12)
    ).fit(PROFILES, checkpoint=folder),
    "XTransferCDR": lambda folder: galenic.XTransferCDR(
        n_networks=2,
        widths=(16, 12, 8, 4),
        training=brief(3, patience=2, monitor="held_out"),
        gene_training=brief(3, patience=2, monitor="error"),
    ).fit(CELLS, checkpoint=folder),
    "ScATD": lambda folder: galenic.ScATD(
        n_folds=3, widths=(32,), n_latent=8, tuned_epochs=2, training=brief(6), pretraining=Training(max_epochs=8)
    ).fit(LINES, response="ln_ic50", target=TUMOUR, checkpoint=folder),
    "DeepPert": lambda folder: galenic.DeepPert(
        sizes=(2, 3), runs=2, n_components=8, shared=0.0, n_steps=2, training=brief(6)
    ).fit(PROGRAMMES, checkpoint=folder),
}


def fitted(system: str, place: Path) -> None:
    """Fit with a checkpoint, save the model and its history, and note how many epochs were computed."""
    counted, one_epoch = [], loop._fit

    def epoch(*given: Any) -> Any:
        counted.append(1)
        return one_epoch(*given)

    loop._fit = epoch
    model = SYSTEMS[system](place / "kept")
    loop._fit = one_epoch
    model.save(place / "model")
    (place / "history.csv").write_text(model.history_.drop(columns="seconds", errors="ignore").to_csv())
    (place / "epochs").write_text(str(len(counted)))


def child(system: str, place: Path) -> int:
    """Fit in a process of its own; gives its number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            place.mkdir(parents=True, exist_ok=True)
            fitted(system, place)
            code = 0
        except BaseException as error:
            (place / "error").write_text(repr(error))
        finally:
            os._exit(code)
    return number


def spent(number: int) -> float:
    """Seconds of the processor that a process has had: what it has come to, however busy the machine is."""
    return time.clock_gettime((~number << 3) | 2)


def ended(number: int) -> bool:
    return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def killed(system: str, place: Path, after: float) -> bool:
    """Kill a fit after so many seconds; whether it had not ended by then."""
    number = child(system, place)
    while not ended(number) and spent(number) < after:
        time.sleep(0.0005)
    os.kill(number, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(number, 0)[1])


def whole(system: str, place: Path) -> float:
    """Seconds that a fit takes that nobody stops."""
    _, status, used = os.wait4(child(system, place), 0)
    if status:
        raise RuntimeError(f"{system}: {(place / 'error').read_text()}")
    return used.ru_utime + used.ru_stime


def content(place: Path) -> dict[str, str]:
    """The sha256 of every array of a saved model, and of what else it tells."""
    model = galenic.load(place / "model")
    found = {
        name: f"{a.dtype} {a.shape} {hashlib.sha256(a.tobytes()).hexdigest()}" for name, a in model.arrays_.items()
    }
    history = (place / "history.csv").read_text()
    return found | {"spec": json.dumps(model.spec_, sort_keys=True, default=str), "history": history}


def kept(place: Path) -> dict[str, int]:
    """Finished jobs, by when they were written."""
    files = [file for file in (place / "kept").rglob("*.npz") if not file.name.startswith(".")]
    return {str(file.relative_to(place)): file.stat().st_mtime_ns for file in files}


def trial(system: str, place: Path, delays: list[float]) -> dict[str, Any]:
    """Kill a fit once or more, then let it end."""
    landed = [killed(system, place, after) for after in delays]
    before, states = kept(place), len(list((place / "kept").rglob("*.pt")))
    whole(system, place)
    after = kept(place)
    return {
        "delays": delays,
        "landed": landed,
        "jobs": len(before),
        "states": states,
        "done_again": sum(after.get(name) != at for name, at in before.items()),
        "left": [file.name for file in place.rglob("*") if ".part" in file.name or file.suffix == ".pt"],
        "epochs": int((place / "epochs").read_text()),
        "content": content(place),
    }


def told(system: str, folder: Path, n_kills: int, seed: int) -> dict[str, Any]:
    """Kill fits of one system ``n_kills`` times."""
    rng = np.random.default_rng([seed, len(system)])
    SYSTEMS[system](folder / "loads what is imported late")
    seconds = whole(system, folder / "whole")
    trials, left = [], n_kills
    while left > 0:
        places = np.sort(rng.random(min(left, rng.integers(1, 4))))  # of the whole fit: the next begins where one ended
        delays = seconds * np.diff(places, prepend=0)
        trials.append(trial(system, folder / f"killed {len(trials)}", delays.tolist()))
        left -= sum(trials[-1]["landed"])
        if not all(trials[-1]["landed"]):  # the processor has become faster; what has ended was not killed
            seconds *= 0.85
    epochs = int((folder / "whole" / "epochs").read_text())
    return {"seconds": seconds, "epochs": epochs, "content": content(folder / "whole"), "trials": trials}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # A killed process, unlike a machine without power, leaves to the disk what it has written.
    os.fsync = lambda number: None
    where, wanted, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    share = -(-wanted // len(SYSTEMS))
    print(json.dumps({system: told(system, where / system, share, first) for system in SYSTEMS}))
