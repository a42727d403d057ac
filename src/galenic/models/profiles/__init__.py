"""Models of profiles: each says how similar two profiles are."""
