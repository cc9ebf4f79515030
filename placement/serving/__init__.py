"""Simulations of plans under streams of requests."""
