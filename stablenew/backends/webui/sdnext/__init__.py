"""What SD.Next does in its own way."""
