"""Compiled twins of the reference functions of replicated placements."""
