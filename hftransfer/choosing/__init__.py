"""What is decided before or around runs: which checkpoint, which rows.

Each file is what one command does, and takes a `Recipe`.
"""
