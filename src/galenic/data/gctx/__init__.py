"""Profiles in the formats of the Connectivity Map, GCT (text) and GCTX (HDF5), read and written in blocks."""
