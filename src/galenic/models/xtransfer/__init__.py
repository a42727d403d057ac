"""XTransferCDR: effects of perturbations carried from contexts where they were measured to others."""
