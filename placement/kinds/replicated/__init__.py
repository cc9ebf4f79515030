"""Replicated placements: every node holds one span of blocks, blocks are held by many nodes, requests find a chain."""
