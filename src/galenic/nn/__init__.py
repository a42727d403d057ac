"""Networks: the parts models are built of, in plain torch."""
