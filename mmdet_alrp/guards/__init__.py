"""Guards of a run that have nothing to do with ranking: broken batches, losses and checkpoints."""
