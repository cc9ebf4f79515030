"""Compiled twins of the reference functions of sessions."""
