"""The error tree. Each error is raised on purpose, for a mistake that one sentence can explain.

HFTransferError
├── RecipeError        the recipe, an override or an option of the command
├── DataError          the rows
├── ModelError         the checkpoint
├── ExportError        a runtime that cannot hold the model
├── HubError           the network, or the rights of a token
├── SampleError        files of a sample that are not to be had, or not the published ones
├── DiskFullError      no space where a run is written
├── MemoryShortError   no memory for a batch
├── RunError           a run in a process of its own that has failed
├── PluginError        a plug-in that breaks its contract
└── MissingExtraError  a package that is not installed
"""

import re

# What must not stand in a log: a token of the Hub, and the password of an address.
_SECRETS = re.compile(r"(?<![A-Za-z0-9])(hf_|api_org_)[A-Za-z0-9]{10,}|(?<=://)[^/\s@'\"]+(?=@)")
_SHOWN = 120
_ENDLESS = re.compile(r"(\S{150})\S{150,}(\S{60})")


def without_secrets(text: str) -> str:
    """A text whose tokens and passwords are replaced by `***`."""
    return _SECRETS.sub(lambda match: f"{match[1] or ''}***", text)


def shortened(value: object) -> str:
    """A value as Python writes it, cut where a sentence would be lost in it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text):,} characters)"


class HFTransferError(Exception):
    """Base of all errors of hftransfer; the command line prints the message and exits with status 2.

    The message may repeat what a user wrote in a wrong place, but neither a token nor a password.
    """

    def __init__(self, message: str = "") -> None:
        """Take secrets out of the message, and the middle of words that no line has room for."""
        super().__init__(_ENDLESS.sub(lambda match: f"{match[1]}...{match[2]}", without_secrets(message)))


class RecipeError(HFTransferError):
    """The recipe or an override is not valid, or asks for something that cannot be run."""


class DataError(HFTransferError):
    """The rows do not fit the recipe: columns, labels, empty splits, unreadable files."""


class ModelError(HFTransferError):
    """The checkpoint does not exist, cannot be read, or does not fit the task."""


class ExportError(HFTransferError):
    """A trained model cannot be exported to the format of the recipe."""


class HubError(HFTransferError):
    """The Hub cannot be reached, or refuses the request."""


class SampleError(HFTransferError):
    """The files of a sample cannot be fetched, or are not the published ones."""


class DiskFullError(HFTransferError):
    """There is no space left for what a run writes; the run can be resumed when there is."""


class MemoryShortError(HFTransferError):
    """The memory of the machine or of its accelerator does not suffice."""


class RunError(HFTransferError):
    """A run in a process of its own has ended without a result; its log says why."""


class PluginError(HFTransferError):
    """A plug-in breaks the contract of its base class: a metric returns a name that it does not declare."""


class MissingExtraError(HFTransferError):
    """A plug-in imports a package of an extra that is not installed."""
