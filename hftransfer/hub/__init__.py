"""The Hugging Face Hub: looking things up, and pushing a finished run.

Tokens come from the environment or the login, and are never written.
"""
