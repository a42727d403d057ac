"""DeepPert: what many small autoencoders of profiles agree on, and the genes behind it."""
