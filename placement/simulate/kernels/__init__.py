"""Compiled event loops."""
