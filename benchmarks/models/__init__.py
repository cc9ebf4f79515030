"""What the readers of models say, held against the libraries that run these models."""
