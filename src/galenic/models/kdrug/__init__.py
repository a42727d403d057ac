"""KDRUG: the multi-omic teacher and its expression-only student."""
