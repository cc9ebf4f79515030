"""What checkpoints say of the format that their weights are stored in."""
