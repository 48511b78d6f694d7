"""What is wrong with rows, `hftransfer audit`: near copies, labels that other rows contradict, odd rows, leaks.

`audit.py` is the command; texts, images and recordings have a file each.
"""
