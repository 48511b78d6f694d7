"""What is decided by runs: which checkpoint, which hyper-parameters, how many labels, at what cost.

`rank`, `compare`, `tune`, `curve` and `check --estimate`; each takes a `Recipe`.
"""
