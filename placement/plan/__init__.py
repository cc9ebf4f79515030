"""Plans: what is answered, as data."""
