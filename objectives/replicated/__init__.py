"""Replicated placements: tables, flow, served throughput, terms and bounds."""
