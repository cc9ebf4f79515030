"""Readers: what people have on disk or in memory, turned into questions."""
