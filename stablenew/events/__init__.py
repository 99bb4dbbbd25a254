"""Events and the bus that carries them; knows no domain."""
