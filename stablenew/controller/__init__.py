"""What a GUI or a command line holds on to: start, watch, cancel, look at the result."""
