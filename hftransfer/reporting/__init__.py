"""What people read of a finished run: tables, plots, the HTML report and the model card.

Everything is computed from the record (`result.json`) alone. Long texts are Jinja templates (`*.jinja`) in this folder.
"""
