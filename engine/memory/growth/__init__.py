"""What keeps a memory from growing without bound: ends, merging, pruning, staleness, and what is not stored at all."""
