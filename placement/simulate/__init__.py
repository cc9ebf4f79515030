"""Simulations: requests, sessions and servers over time."""
