"""Readers: any file or table to matrices, AnnData and :class:`galenic.data.response.ResponseData`."""

from __future__ import annotations

from galenic.data.read.ctrp import ctrp
from galenic.data.read.depmap import depmap_expression, prism
from galenic.data.read.folder import read_folder, write
from galenic.data.read.gdsc import events, gdsc
from galenic.data.read.gene_sets import gene_sets
from galenic.data.read.layout import layout
from galenic.data.read.matrices import matrix
from galenic.data.read.new_cells import cells_to_predict
from galenic.data.read.profiles import profiles
from galenic.data.read.response import response_data
from galenic.data.read.tables import table
from galenic.data.read.xena import xena

__all__ = [
    "cells_to_predict",
    "ctrp",
    "depmap_expression",
    "events",
    "gdsc",
    "gene_sets",
    "layout",
    "matrix",
    "prism",
    "profiles",
    "read_folder",
    "response_data",
    "table",
    "write",
    "xena",
]
