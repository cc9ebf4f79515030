"""Petals' own rules, equal to its code."""
