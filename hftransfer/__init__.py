"""Transfer learning in the Hugging Face ecosystem, by one recipe."""

__version__ = "0.1.0"
