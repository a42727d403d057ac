"""Simulated data with planted truth, for tests, tutorials and the demo."""

from galenic.data.simulate.perturbations import perturbations
from galenic.data.simulate.profiles import profiles
from galenic.data.simulate.programmes import programmes
from galenic.data.simulate.screens import MOST_DRUGS, SCAFFOLDS, patients, screen

__all__ = ["MOST_DRUGS", "SCAFFOLDS", "patients", "perturbations", "profiles", "programmes", "screen"]
