"""Where rows come from."""

from typing import Any

from hftransfer.plugins import Plugin


class Source(Plugin):
    """Base of the sources."""

    def load(self) -> dict[str, Any]:
        """Split -> `datasets.Dataset`, with the columns as they are.

        Raises:
            DataError: the files or the data set are not there.
        """
        raise NotImplementedError
