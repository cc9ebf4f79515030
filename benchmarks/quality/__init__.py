"""Quality of solvers: gaps to proven optima or best known, at equal seconds and at equal evaluations."""
