"""Make the shipped examples anew: ``python -m galenic.app.demo.make OUT``, then replace the folders by those of OUT.

Everything is simulated, and fitted by the commands that a user would type; what no page shows is left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from galenic.app.demo import KINDS
from galenic.app.demo.answers import ANSWERS
from galenic.app.demo.parcels import packed
from galenic.app.demo.simulated import perturbed, profiles, screen, subclones, target_pairs

TABLES = ("metrics", "comparison", "skill", "scores_by_drug", "calibration", "shift", "source", "conditions")
"""Tables of scores that pages show."""


def main(out: Path) -> None:
    """Write all examples to a new folder, one subfolder each."""
    out = out.absolute()
    if out.exists():
        raise SystemExit(f"OUT should be a new folder; {out} exists. Name another.")
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        for make in (response, explain, benchmark, cells, search, perturbation):
            make(work, out)
    for kind, answer in ANSWERS.items():
        answer(out / kind).to_csv(out / kind / "answer.csv", index=False, float_format="%.5g")
    for kind in KINDS:
        size = sum(file.stat().st_size for file in (out / kind).rglob("*") if file.is_file())
        print(f"{kind}: {size / 1000:,.0f} kB")


def response(work: Path, out: Path) -> None:
    """A model of responses with its scores beside floors, and samples that it has not seen."""
    screen(work)
    galenic(work, "fit kdrug --data screen --out response --by cell --folds 5 --n-members 1 --n-latent 16 --hidden 16 "
                  "--n-heads 2 --stages 1 --student expression --teacher ,")  # fmt: skip
    packed(work / "response", out / "response", [*TABLES, "model"])
    shutil.copy(work / "new.csv", out / "response" / "cells.csv")


def explain(work: Path, out: Path) -> None:
    """Biomarkers and atoms of the drugs of that model, beside the planted drivers; pairs of targets."""
    galenic(work, "explain response --refits 8 --shuffles 1 --keep 20 --drawn 12")
    packed(work / "response", out / "explain", ["biomarkers", "atoms", "metrics", "comparison"])
    shutil.copy(work / "truth.csv", out / "explain" / "drivers.csv")
    target_pairs(work)
    galenic(
        work,
        "fit deeppert --profiles programmes.h5ad --out deeppert --runs 2 --sizes 6,12 --families ae,vae,ica --folds 0",
    )
    galenic(work, "explain deeppert --weights weights.csv")
    galenic(work, "targets weights.csv --known known.csv --disease 'simulated disease 1' --out pairs")
    packed(work / "pairs", out / "explain" / "targets", ["target_pairs", "target_match", "target_diseases"])


def benchmark(work: Path, out: Path) -> None:
    """Scores of several models beside the floors, on unseen samples and unseen drugs."""
    models = "".join(f'[[model]]\nname = "{name}"\n' for name in ("KernelRidge", "Ridge", "ElasticNet", "RandomForest"))
    plan = 'title = "Four models on a simulated screen"\n[data]\ndata = "screen"\n[split]\nby = ["cell", "drug"]\n'
    (work / "plan.toml").write_text(plan + models, encoding="utf-8")
    galenic(work, "benchmark plan.toml --out benchmark")
    packed(work / "benchmark", out / "benchmark", TABLES)


def cells(work: Path, out: Path) -> None:
    """A model of single cells that learned from bulk lines, and cells in clusters."""
    subclones(work)
    galenic(work, "fit scatd transfer --bulk bulk.h5ad --target cells.h5ad --out cells --widths 32 --n-latent 8 "
                  "--n-folds 3 --by cluster --truth label --truth-convention sensitive=1")  # fmt: skip
    packed(work / "cells", out / "cells", [*TABLES, "floors", "floors_source", "model"])
    shutil.copy(work / "cells.h5ad", out / "cells" / "cells.h5ad")


def search(work: Path, out: Path) -> None:
    """A reference that is searched, profiles of compounds in a cell line that it lacks, and lists of genes."""
    profiles(work)
    galenic(work, "fit readacross --profiles profiles.h5ad --out readacross --folds 3 --n-members 1 --width 32 "
                  "--n-layers 1 --growth 16")  # fmt: skip
    galenic(work, "search build readacross profiles.h5ad --gene-sets --out search")
    shutil.copytree(work / "search", out / "search")
    packed(work / "readacross", out / "search", TABLES)
    for name in ("query.csv", "up.txt", "down.txt"):
        shutil.copy(work / name, out / "search" / name)


def perturbation(work: Path, out: Path) -> None:
    """A model of effects, controls of its cell types, and treated cells of conditions that it has not seen."""
    perturbed(work)
    galenic(work, "fit xtransfercdr --perturbed perturbed.h5ad --out perturbation --n-networks 2 --widths 32,24,16,12")
    packed(work / "perturbation", out / "perturbation", ["metrics", "comparison", "skill", "model"])
    shutil.copy(work / "unseen.h5ad", out / "perturbation" / "cells.h5ad")


def galenic(work: Path, command: str) -> None:
    """Run a command of the command line in a folder, in one thread."""
    import shlex

    print(f"galenic {command}", flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "galenic", *shlex.split(command)]
    done = subprocess.run(arguments, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"galenic {command} failed:\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m galenic.app.demo.make OUT")
    np.seterr(all="ignore")
    main(Path(sys.argv[1]))
