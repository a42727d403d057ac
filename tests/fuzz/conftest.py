"""The tools of this folder are imported by name, by its tests and by the nightly runs alike."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
