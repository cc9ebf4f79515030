"""Chains with reserved caches, the reference."""
