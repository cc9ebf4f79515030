"""Solvers of pipelines alone: exact ones, today's splits, and the portfolio."""
