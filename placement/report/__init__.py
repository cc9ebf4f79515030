"""Plans for people: text and pages."""
