"""Public data: which there is, and how it comes onto this machine whole, checked and under its licence."""

from __future__ import annotations

from galenic.data.fetch.catalogue import DataSet, RemoteFile, find, read_catalogue
from galenic.data.fetch.fetch import fetch
from galenic.data.fetch.part import FetchError

__all__ = ["DataSet", "FetchError", "RemoteFile", "fetch", "find", "read_catalogue"]
