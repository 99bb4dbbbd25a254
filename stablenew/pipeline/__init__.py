"""From a config to pictures: planning stages, running them in order, keeping what they made."""
