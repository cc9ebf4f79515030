"""Models read off the modules that make them: run without data, watched, and told as blocks."""
