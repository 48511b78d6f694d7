"""The recipe: its schema, how YAML and overrides become one, and which training arguments it may give.

Only this room, `runner` and the command line see a `Recipe`; the rooms below take plain arguments.
"""
