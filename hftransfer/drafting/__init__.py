"""From data to a recipe, `hftransfer new`: what a file or a folder holds, which columns serve, which task that is.

`new.py` is the command; the other files are its steps, in the order places, heads, columns, proposal, roles, draft.
"""
