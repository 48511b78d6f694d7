"""What a name begins with that is neither a path nor an id of the Hub."""

SAMPLE = "sample:"
"""Rows or a checkpoint that install with pip: `sample:NAME`."""
HUB = "hub:"
"""A run that was pushed: `hub:user/name`."""
