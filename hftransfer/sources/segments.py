"""Recordings with files of segments: `FOLDER/SPLIT/NAME.wav` with NAME.rttm, NAME.txt (Audacity) or NAME.csv.

A file may also hold the segments of many recordings: RTTM names the recording in each line, a CSV file in a column
`file_name` beside `start`, `end` and `label`. `FOLDER/NAME.wav` has one split, `train`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.sources import Folder
from hftransfer.sources._listing import RECORDINGS, Finder, Media, files_below, is_document
from hftransfer.sources._media_folder import with_files
from hftransfer.sources._segment_files import READERS, Line, read_lines

if TYPE_CHECKING:
    from datasets import Dataset


class Segments(Folder):
    """Columns: `audio` (not decoded), `segments` (a list of `start`, `end` in seconds and `label`)."""

    media: ClassVar[Media] = RECORDINGS
    annotations: ClassVar[tuple[str, ...]] = tuple(READERS)

    def read_folder(self) -> dict[str, Dataset]:
        from datasets import Dataset, Features, List, Value

        segment = {"start": Value("float64"), "end": Value("float64"), "label": Value("string")}
        features = Features({"segments": List(segment)})
        splits = {
            split: sorted({file for folder in folders for file in self.media.below(folder)})
            for split, folders in self.split_folders().items()
        }
        found = self._segments([file for files in splits.values() for file in files])
        return {
            split: with_files(
                Dataset.from_dict({"segments": [found[file] for file in files]}, features), {"audio": files}, self.media
            )
            for split, files in splits.items()
            if files
        }

    def _segments(self, recordings: list[Path]) -> dict[Path, list[dict[str, object]]]:
        """The segments of each recording, in the order of their start.

        Raises:
            DataError: there are no recordings, a line names one that is not there, or one has no segments at all where
                each has a file of its own.
        """
        if not recordings:
            raise DataError(f"data.source.path: there are no recordings in '{self.path}'")
        finder, described = Finder(recordings), dict[Path, Path]()
        lines: dict[Path, list[Line]] = {file: [] for file in recordings}
        several = False
        for file in files_below(self.root()):
            if file.suffix.lower() not in READERS or is_document(file):
                continue
            named = read_lines(file)
            several = several or any(line.recording for line in named)
            for recording, line in self._places(file, named, finder):
                if (other := described.setdefault(recording, file)) != file:
                    raise DataError(
                        f"data.source.path: '{other}' and '{file}' both describe '{recording}'; keep one of them"
                    )
                lines[recording] += [line] if line else []
        self._check_described([file for file in recordings if file not in described], len(recordings), several)
        return {
            file: [
                {"start": it.start, "end": it.end, "label": it.label} for it in sorted(of_file, key=lambda it: it[1:])
            ]
            for file, of_file in lines.items()
        }

    def _places(self, file: Path, lines: list[Line], finder: Finder) -> list[tuple[Path, Line | None]]:
        """The recording of each line; of a file without lines that of its name, where nothing is active."""
        own = finder.find_stem(file.stem, file.parent)
        if own is None and not any(line.recording for line in lines):
            self.warn(f"data.source.path: '{file}' is left out: there is no recording of its name")
            return []
        places: list[tuple[Path, Line | None]] = [] if lines or own is None else [(own, None)]
        for line in lines:
            name = line.recording
            found = own if name is None else finder.find(name, file.parent) or finder.find_stem(name, file.parent)
            if found is None:
                names = [it.stem for it in self.media.below(self.root())]
                raise DataError(f"{file}: there is no recording '{name}' in '{self.path}'; {nearest(name, names)}")
            places.append((found, line))
        return places

    def _check_described(self, silent: list[Path], count: int, several: bool) -> None:
        """Refuse recordings without a file of segments; warn of them where one file is of many recordings."""
        if not silent:
            return
        first = silent[0]
        if several:
            self.warn(
                f"data.source.path: {len(silent)} of {count} recordings have no segments, first '{first}': nothing is "
                "active in them"
            )
            return
        raise DataError(
            f"data.source.path: {len(silent)} of {count} recordings have no file of segments: '{first}' needs "
            f"{first.stem}.rttm, .txt (Audacity) or .csv; an empty one where nothing is active"
        )
