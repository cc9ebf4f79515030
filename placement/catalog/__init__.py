"""Facts about devices, links and models, each with its source."""
