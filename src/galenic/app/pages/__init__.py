"""One module a page, each with one function ``page``: layout only; what is computed stands in plain modules."""
