"""Several devices or machines joined to one: started here, or found where torchrun or SLURM started them."""

from __future__ import annotations

import os
from typing import Any

from galenic.train.devices import pick

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "64-true")
EVERY_NETWORK = "ddp_find_unused_parameters_true"
"""Strategy of "auto": some networks have parts that a stage does not teach."""
STRATEGIES = ("auto", "ddp")
"""Every device has a copy of the network. Those that divide it (fsdp, deepspeed) leave each process a part of the
weights, and no network here is too large for a device."""


def launched(
    *, devices: int = 1, nodes: int = 1, strategy: str = "auto", precision: str = "32-true", device: str = "auto"
) -> Any:
    """A launched ``lightning.Fabric``, or ``None`` where one device computes in full precision.

    The command that runs is started once more for each further device; under ``torchrun`` the processes are there.

    Parameters
    ----------
    devices
        Devices (on a CPU: processes) of each machine.
    nodes
        Machines.
    strategy
        "auto" or "ddp": every device has a copy of the network; "auto" also trains networks of which a stage leaves
        parts out.
    precision
        "32-true", "16-mixed", "bf16-mixed" or "64-true".
    device
        Kind of device, as :func:`galenic.train.pick` names them.

    Raises
    ------
    ValueError
        If there are not so many devices, a value is not allowed, or Lightning is not installed.
    """
    started = int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 0
    if started:
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        devices, nodes = (here, started // here) if devices == nodes == 1 else (devices, nodes)
        asked = devices * nodes
        _require(asked == started, "--devices times --nodes", f"{started:,}, the processes torchrun started", asked)
    _require(strategy in STRATEGIES, "--strategy", f"one of {', '.join(STRATEGIES)}", repr(strategy))
    _require(precision in PRECISIONS, "--precision", f"one of {', '.join(PRECISIONS)}", precision)
    if devices == nodes == 1 and precision == "32-true" and not started:
        return None
    place = pick(device)
    most = _here(place.type)
    _require(nodes >= 1, "--nodes", "1 or more", nodes)
    _require(1 <= devices <= most, "--devices", f"from 1 to {most:,}, the devices of kind {place.type} here", devices)
    try:
        from lightning.fabric import Fabric
    except ImportError as error:
        raise ValueError(
            f"several devices are joined by lightning, which is not installed ({error}). Install galenic[scale], or "
            "leave --devices out."
        ) from error
    chosen = EVERY_NETWORK if strategy == "auto" and devices * nodes > 1 else strategy
    fabric = Fabric(accelerator=place.type, devices=devices, num_nodes=nodes, strategy=chosen, precision=precision)
    fabric.launch()
    return fabric


def _here(kind: str) -> int:
    """Devices of a kind; a CPU is as many as it has cores."""
    import torch

    return {"cuda": torch.cuda.device_count(), "cpu": os.cpu_count() or 1}.get(kind, 1)


def _require(holds: bool, flag: str, wanted: str, received: object) -> None:
    if not holds:
        raise ValueError(f"{flag} should be {wanted}; received {received}. Correct it.")
