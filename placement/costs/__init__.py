"""Costs: seconds and bytes of every block on every node."""
