"""Models: configurations, checkpoints, GGUF files, modules and presets, each turned into a `Model`."""
