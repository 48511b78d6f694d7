"""The Hugging Face Hub: look-ups, and pushing a finished run.

Tokens come from the environment or the login, and are never written.
"""
