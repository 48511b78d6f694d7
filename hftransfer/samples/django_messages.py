"""Messages of Django's user interface in some 90 languages, a few hundred to a thousand pairs (BSD), in its wheel.

Columns: `source`, `target` (string), pairs of the same message; https://docs.djangoproject.com/en/stable/topics/i18n/
"""

from __future__ import annotations

import gettext
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.samples import Sample, package_folder

if TYPE_CHECKING:
    from datasets import Dataset


class DjangoMessages(Sample):
    """Parallel messages of two languages."""

    license: ClassVar[str] = "bsd-3-clause"
    provenance: ClassVar[str] = "package Django, its message catalogues"
    requires: ClassVar[dict[str, str]] = {"django": "samples"}

    source: str = "en"
    """Code of the language to translate from, as in Django's `conf/locale`; `en` is that of the messages themselves."""
    target: str = "de"
    """Code of the language to translate to."""

    def rows(self) -> dict[str, Dataset]:
        """One split, `train`, in the order of the English messages."""
        from datasets import Dataset

        root = package_folder("django")
        available = sorted({folder.name for folder in root.glob("conf/locale/*") if folder.is_dir()})
        for language in (self.source, self.target):
            if language not in available:
                raise DataError(
                    f"data.source.options: Django has no language '{language}'; {nearest(language, available)}"
                )
        sources, targets = _messages(root, self.source), _messages(root, self.target)
        shared = sorted(sources.keys() & targets.keys())
        columns = {"source": [sources[key] for key in shared], "target": [targets[key] for key in shared]}
        return {"train": Dataset.from_dict(columns)}


def _messages(root: Path, language: str) -> dict[str, str]:
    """English message -> the language's, of Django itself and of the applications that come with it."""
    messages: dict[str, str] = {}
    # The catalogues of `en` are empty, since the keys are the English messages: those of `de` have the same keys.
    for file in sorted(root.glob(f"**/locale/{'de' if language == 'en' else language}/LC_MESSAGES/django*.mo")):
        with file.open("rb") as stream:
            catalogue = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        for key, message in catalogue.items():
            # Keys of plural forms are pairs with a number; a context stands before the message.
            english = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]
            if english.strip() and message.strip() and len(english) < 300:
                messages.setdefault(english, english if language == "en" else message)
    return messages
