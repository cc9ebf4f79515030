"""Dynamic programming over subsets of node types: the engine of the solver `exact`."""
