"""Compiled searches for chains through a swarm."""
