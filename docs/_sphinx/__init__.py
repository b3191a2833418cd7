"""What the documentation site generates: `docs/conf.py` connects it to Sphinx."""
