"""A backend in another process of this machine, and the process's end of it."""
