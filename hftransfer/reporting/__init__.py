"""What a person reads of a finished run: tables, plots, the HTML report, the model card.

All of it is made from the record (`result.json`) alone.
"""
