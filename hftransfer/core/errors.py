"""The whole error tree. Every one of these is somebody's mistake that one sentence can explain."""


class HFTransferError(Exception):
    """Base of all errors that hftransfer raises on purpose; the command line prints its text and exits with 2."""


class RecipeError(HFTransferError):
    """A recipe, or an override of it, says something that cannot be run."""


class DataError(HFTransferError):
    """The rows are not what the recipe says: columns, labels, empty splits, unreadable files."""


class ModelError(HFTransferError):
    """The checkpoint does not exist, cannot be read, or does not fit the task."""


class ExportError(HFTransferError):
    """A finished model cannot be written for the runtime that was asked for."""


class HubError(HFTransferError):
    """The Hub cannot be reached, or refuses."""


class PluginError(HFTransferError):
    """A plug-in breaks the contract of its kind: a metric returns a name that it does not declare."""


class MissingExtraError(HFTransferError):
    """A plug-in needs a package of an extra that is not installed."""
