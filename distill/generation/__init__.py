"""Data-limited image generation: what a GAN learns from, and how it is judged."""
