"""Messages of Django's user interface in some 90 languages, a few hundred to a thousand pairs (BSD), in its wheel.

Columns: `source`, `target` (string), pairs of the same message; https://docs.djangoproject.com/en/stable/topics/i18n/
"""

import gettext
import importlib.util
from pathlib import Path
from typing import Any, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.samples import Sample


class DjangoMessages(Sample):
    """Parallel messages of two languages."""

    requires: ClassVar[dict[str, str]] = {"django": "samples"}

    source: str = "en"
    """Code of the language to translate from, as in Django's `conf/locale`; `en` is the messages' own."""
    target: str = "de"
    """Code of the language to translate to."""

    def rows(self) -> dict[str, Any]:
        """One split, `train`, in the order of the English messages."""
        from datasets import Dataset

        spec = importlib.util.find_spec("django")
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        known = sorted({folder.name for folder in root.glob("conf/locale/*") if folder.is_dir()})
        for language in (self.source, self.target):
            if language not in known:
                raise DataError(f"data.source.options: Django has no language '{language}'; {nearest(language, known)}")
        sources, targets = _messages(root, self.source), _messages(root, self.target)
        pairs = [(sources[key], targets[key]) for key in sorted(sources.keys() & targets.keys())]
        return {"train": Dataset.from_dict({"source": [a for a, _ in pairs], "target": [b for _, b in pairs]})}


def _messages(root: Path, language: str) -> dict[str, str]:
    """English message -> the language's, of Django itself and of the applications that come with it."""
    found: dict[str, str] = {}
    # The catalogues of `en` are empty, since messages are their own keys: the German ones are read for the keys.
    for file in sorted(root.glob(f"**/locale/{'de' if language == 'en' else language}/LC_MESSAGES/django*.mo")):
        with file.open("rb") as stream:
            catalogue = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        for key, message in catalogue.items():
            # A context stands before the message; plural forms have a number behind them.
            english = (key[0] if isinstance(key, tuple) else key).rpartition("\x04")[2]
            if english.strip() and message.strip() and len(english) < 300:
                found.setdefault(english, english if language == "en" else message)
    return found
