"""Containers, readers, genes, drugs and simulated data; knows nothing of networks."""
