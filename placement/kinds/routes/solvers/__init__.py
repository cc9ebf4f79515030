"""Solvers of routes alone: the exact front, and what "auto" stands for."""
