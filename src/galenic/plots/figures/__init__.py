"""One figure a function, by what it shows; drawn from plain tables."""
