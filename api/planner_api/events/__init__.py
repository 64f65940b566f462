"""Events: their state, and the statements that read and write them."""
