"""Quality and speed, kept apart; never imported by the packages that they measure."""
