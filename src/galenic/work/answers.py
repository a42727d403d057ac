"""Whether anybody listens at an address, asked before a library tries for minutes."""

from __future__ import annotations

import socket

SECONDS = 5.0
"""To answer."""


def silence(address: str) -> str | None:
    """Why nothing listens at ``HOST:PORT``; ``None`` if something does.

    Examples
    --------
    >>> silence("nowhere")
    'it is no HOST:PORT'
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return "it is no HOST:PORT"
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS).close()
    except OSError as error:
        return str(error)
    return None
