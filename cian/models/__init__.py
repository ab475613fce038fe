"""Networks as Gluon HybridBlocks, and the checkpoints they are read from and written to."""
