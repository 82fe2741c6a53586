"""What a checkpoint is, told from its headers and pickles: nothing is unpickled, no torch."""
