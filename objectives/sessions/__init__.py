"""Fleets whose sessions reserve caches: chains, capacities, rates and response times."""
