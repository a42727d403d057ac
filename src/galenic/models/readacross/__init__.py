"""ReadAcross: embeddings of profiles in which perturbagens that act alike lie close together."""
