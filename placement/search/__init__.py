"""Search: the problem as solvers see it, the one loop, and the solvers that work on any kind."""
