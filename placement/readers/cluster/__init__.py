"""Cluster files: nodes, links and models in them."""
