"""Chains through a swarm that stands already: what they cost, and the plain search for them."""
