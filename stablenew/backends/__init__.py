"""What makes the pictures: the protocol, and those who keep it."""
