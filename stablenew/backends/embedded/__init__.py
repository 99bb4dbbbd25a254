"""A small text-to-image diffusion model that ships with the package; see `MODEL_CARD.md`."""
