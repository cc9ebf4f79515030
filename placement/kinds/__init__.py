"""Kinds of plans: how each is read, encoded, bounded, explained and shown."""
