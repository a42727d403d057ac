"""Run folders and their reports: what a verb computed, kept with its origin and shown as one HTML page."""

from galenic.report.compare import write_comparison
from galenic.report.page import write_report
from galenic.report.run import Run, read, start

__all__ = ["Run", "read", "start", "write_comparison", "write_report"]
