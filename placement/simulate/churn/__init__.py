"""A swarm over time: servers join, leave and fail; rules decide what each of them holds."""
