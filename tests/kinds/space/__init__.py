"""Tests of the wider space."""
