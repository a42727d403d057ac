"""Files of strangers: what is looked at before anything of them is read."""
