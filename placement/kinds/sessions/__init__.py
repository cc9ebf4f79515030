"""Swarms whose sessions reserve cache along a chain of servers: placement, chains and capacities."""
