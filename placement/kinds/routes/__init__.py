"""Chains through a given swarm: spans, rates and round trips are known, the way of a session is sought."""
