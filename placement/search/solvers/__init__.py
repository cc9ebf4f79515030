"""Metaheuristics that work on every kind of problem."""
