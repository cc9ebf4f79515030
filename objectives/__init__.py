"""Ground floor: arrays in, scores out. Depends on numpy (and numba in the kernels) and on nothing above it."""
