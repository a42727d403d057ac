"""HDF5 files of strangers: what is looked at before anything of them is read."""
