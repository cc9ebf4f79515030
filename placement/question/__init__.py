"""What is asked: model, cluster, workload, objective and constraints."""
