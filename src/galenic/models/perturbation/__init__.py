"""Models of perturbations: each predicts the expression of a cell type under a perturbation nobody measured there."""
