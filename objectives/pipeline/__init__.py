"""Pipelines: cost tables, terms, limits and bounds."""
