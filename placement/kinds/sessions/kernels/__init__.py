"""Compiled moves of fleets whose sessions reserve caches."""
