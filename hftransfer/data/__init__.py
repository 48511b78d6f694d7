"""From a source's rows to encoded splits: load, validate, split, encode, and how training and test rows are changed.

Tasks say what the columns are; nothing here knows a model.
"""
