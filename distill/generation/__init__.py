"""Data-limited image generation: networks, distillation of discriminators, metrics, data."""
