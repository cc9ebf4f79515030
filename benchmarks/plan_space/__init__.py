"""How much the wider space of plans is worth, and whether its searches find the best of it."""
