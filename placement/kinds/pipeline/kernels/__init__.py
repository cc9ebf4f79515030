"""Compiled moves, decoders and recursions of pipelines."""
