"""What an ensemble refuses to learn from."""

from __future__ import annotations

import re

from galenic.data.checks import first
from galenic.models.deeppert.front import SPARE, Front

NO_GENE = re.compile(
    r"(pert_)?i?(dose|time|conc|concentration)(_?(um|nm|h|hr|hours|value|unit))?|"
    r"plate|batch|well|cell(_id|_line)?|smiles|pert_id|sig_id|inst_id|viability|label",
    re.IGNORECASE,
)
"""Names that are columns about profiles, and of no gene."""


def require_genes(names: list[str]) -> None:
    """Refuse columns that are about profiles and no genes."""
    wrong = [name for name in names if NO_GENE.fullmatch(name.strip())]
    if wrong:
        raise ValueError(
            f"every column of the profiles should be a gene; {len(wrong):,} of {len(names):,} are not (first: "
            f"{first(wrong)}). Move them to obs; a dose or time goes into covariates."
        )


def require_room(largest: int, n_profiles: int, front: Front) -> None:
    """Refuse latents that profiles have no room for."""
    n = len(front.components)
    if largest > n or n_profiles < n + SPARE:
        raise ValueError(
            f"a member of {largest} latents needs that many components, and {SPARE} profiles more; received "
            f"{n_profiles:,} profiles and {int((front.scale > 0).sum()):,} genes that vary, which give {n} components. "
            "Give more profiles, or lower sizes (and n_components)."
        )
