"""Compiled twins of the reference functions next door; property tests hold each pair equal."""
