"""What the commands share, and the commands; the only place that prints."""
