"""Transfer learning in the Hugging Face ecosystem, by one recipe."""
