"""What to run: pipeline configs, how to derive them, settings and prompt packs."""
