"""Flags that say where work is done; they decide how fast, not what is found."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

T = TypeVar("T", bound="EngineFlags | DeviceFlags")


@dataclass(frozen=True, kw_only=True)
class EngineFlags:
    """Where jobs run.

    Parameters
    ----------
    jobs
        Fits at the same time, each in one thread; -1: one a core. With --backend dask or ray: all workers, unless a
        number is given.
    backend
        loky: processes of this machine. dask, ray: a cluster (extra [scale]), that of --address or one of this machine.
    address
        Of a cluster that runs. Dask: tcp://HOST:PORT, or its scheduler file. Ray: HOST:PORT or auto.
    """

    jobs: int = 1
    backend: Literal["loky", "dask", "ray"] = "loky"
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceFlags:
    """What trains a network.

    Parameters
    ----------
    devices
        Devices of each machine that train every network together (with no GPU: processes); extra [scale].
    nodes
        Machines; start the command on each with torchrun or srun.
    strategy
        auto or ddp: every device has a copy of the network; ddp wants every part of it taught in every stage.
    precision
        32-true, bf16-mixed, 16-mixed or 64-true. The only flag here that changes numbers.
    """

    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"


ENGINE = ("jobs", "backend", "address")
DEVICES = ("devices", "nodes", "strategy")
"""What is not put on record: results are the same with any of it."""


@contextmanager
def engaged(flags: T) -> Iterator[T]:
    """The engine or the devices that the flags name, for as long as the block runs; gives the flags that suit them."""
    jobs: int = getattr(flags, "jobs", 1)
    backend: Any = getattr(flags, "backend", "loky")
    address = getattr(flags, "address", None)
    if isinstance(flags, DeviceFlags) and _are_several(flags):
        if jobs != 1 or backend != "loky":
            raise ValueError(
                "several devices train one network after the other, all of them together; received these and --jobs "
                f"{jobs}, --backend {backend}. Leave one or the other out."
            )
        with _joined(flags):
            yield flags
    elif backend == "loky" and address is None:
        yield flags
    else:
        from galenic.work.engines import engine

        with engine(backend, address, n_workers=jobs if jobs > 1 else None):
            yield replace(flags, jobs=-1 if jobs == 1 else jobs)  # type: ignore[arg-type]


def _are_several(flags: DeviceFlags) -> bool:
    asked = [getattr(flags, field.name) != field.default for field in fields(DeviceFlags)]
    return any(asked) or "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def _joined(flags: DeviceFlags) -> Iterator[None]:
    """Several processes train together; only the first speaks and keeps what it writes."""
    from torch import distributed

    from galenic.train.fabric import launched
    from galenic.work.bar import no_bars
    from galenic.work.processes import leads, on

    where: dict[str, Any] = {field.name: getattr(flags, field.name) for field in fields(DeviceFlags)}
    fabric = launched(**where, device=getattr(flags, "device", "auto"))
    with on(fabric), ExitStack() as quiet:
        if not leads():
            quiet.enter_context(redirect_stdout(quiet.enter_context(open(os.devnull, "w"))))
            quiet.enter_context(no_bars())
            warnings.showwarning = lambda *_, **__: None
        try:
            yield
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
