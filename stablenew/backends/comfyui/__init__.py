"""ComfyUI: the stages as graphs of its nodes, and anybody's own workflow."""
