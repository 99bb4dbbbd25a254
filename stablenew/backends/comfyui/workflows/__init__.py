"""Anybody's own workflow: read, looked through, checked, and changed by one input or another."""
