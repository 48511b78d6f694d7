"""Records that are files: written atomically as JSON, and read back or refused in a sentence."""

import json
from pathlib import Path
from typing import ClassVar, Self

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Record


class SavedRecord(Record):
    """Base of the records that a command leaves in its directory."""

    damaged: ClassVar[str] = "is damaged, or another record"
    """What is said of a file that cannot be read as this record, after its name."""

    def save(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        from hftransfer.core.files import write_text

        write_text(path, json.dumps(self.model_dump(by_alias=True), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record.

        Raises:
            RecipeError: the file is damaged, or no such record.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RecipeError(f"'{path}' {cls.damaged}") from None
