"""Compiled twins of the reference functions of pipelines; property tests hold each pair equal."""
