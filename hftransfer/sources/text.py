"""Rows of plain text files (https://huggingface.co/docs/datasets/nlp_load#text-files)."""

from typing import Any, Literal

from hftransfer.sources import Files


class Text(Files):
    """One text file, or several, for each split. Column: `text`."""

    sample_by: Literal["line", "paragraph", "document"] = "line"
    """What a row is: a line (an empty one cannot be used, see data.on_error), what stands between empty lines, a file.
    """

    def options(self) -> dict[str, Any]:
        return {"sample_by": self.sample_by}
