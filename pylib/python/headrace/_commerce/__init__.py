"""What Python adds to the steps of commerce: its tables as they are committed, and the dashboard."""
