"""A run from recipe to record: plan, stages, export, collection of results; and what is done with a finished run.

`pipeline.py` reads as the whole story.
"""
