"""ScATD: sensitivity of single cells, carried over from bulk lines."""
