"""Planners and optimizers of others, on the same instances and scored by the same objective."""
