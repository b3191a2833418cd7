"""Data-limited image generation: what a GAN learns from, its networks and game, and how it is judged."""
