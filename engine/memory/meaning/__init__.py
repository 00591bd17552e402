"""The side of a search that goes by meaning: the vectors of a store, in its file and as codes beside it."""
