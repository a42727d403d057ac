"""Models of single cells: sensitive or resistant, learned from bulk lines with labels."""
