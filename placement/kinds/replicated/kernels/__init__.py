"""Compiled moves and decoders of replicated placements."""
