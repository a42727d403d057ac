"""Figures of results, as Plotly figures: for notebooks, papers, reports and the app."""
