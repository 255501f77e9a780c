"""What reading costs, and how a budget is held."""
