"""What every other room stands on: errors, the plug-in registry, feature types, the record of a run, its folder.

It imports nothing of the package, and no torch.
"""
