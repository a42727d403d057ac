"""Simple models that a network has to beat; each is a model like any other."""
