"""A reference: what a search for compounds that act alike goes through, as a folder that stands alone."""

from galenic.models.reference.answers import Answer
from galenic.models.reference.building import build
from galenic.models.reference.reference import Reference, open_reference

__all__ = ["Answer", "Reference", "build", "open_reference"]
