"""Figures for papers: any figure of galenic drawn by matplotlib, the same points at the same places."""
