"""Pipelines: every block lies on one node, one chain goes through all."""
