"""Solvers of replicated placements alone."""
