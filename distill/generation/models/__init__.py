"""Generators and discriminators of data-limited image generation."""

from distill.generation.models.networks import Discriminator, Generator, Judgement, build, names

__all__ = ["Discriminator", "Generator", "Judgement", "build", "names"]
