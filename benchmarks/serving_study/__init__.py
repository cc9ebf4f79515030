"""The comparison of serving policies, and facts about real serving runs."""
