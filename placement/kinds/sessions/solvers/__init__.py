"""Searches of fleets whose sessions reserve caches."""
