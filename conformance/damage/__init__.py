"""What the loaders make of damaged checkpoints: seeded mutations, read back in forked readers."""
