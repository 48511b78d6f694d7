"""Lines of text files, compressed or not, in whatever encoding."""

from __future__ import annotations

import codecs
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from hftransfer.core.errors import DataError
from hftransfer.sources._archives import find_opener, is_zip, zip_entries

COMPRESSED = {".gz", ".bz2", ".xz", ".zip", ".zst", ".lz4"}


def read_lines(file: str, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a file with their line ends, without a byte order mark.

    Raises:
        DataError: it cannot be read, or is in another encoding.
    """
    try:
        content = io.BufferedReader(cast(io.RawIOBase, open_unpacked(file)))
        with io.TextIOWrapper(content, encoding=_codec(encoding, content.peek(2)), newline="") as lines:
            yield from lines
    except UnicodeError as error:
        raise DataError(f"data.source.encoding: {file} is not in {encoding} ({_where(file, encoding, error)}") from None
    except LookupError:
        raise DataError(f"data.source.encoding: Python has no encoding '{encoding}'") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"data.source: {file} cannot be read: {error}") from None


def _where(file: str, encoding: str, error: UnicodeError) -> str:
    """The line of the first wrong byte, where UTF-8 can tell, and what to do: most lines or a few are wrong."""
    others = "others are cp1252, latin-1, utf-16, cp1251, gbk, shift_jis"
    if not _is_utf8(encoding):
        return f"{error}); {others}"
    first, wrong, accented = "", 0, 0
    with open_unpacked(file) as content:
        for number, line in enumerate(content, 1):
            accented += not line.isascii()
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as it:
                wrong += 1
                first = first or f"line {number}: {it}"
    if 2 * wrong > accented:
        return f"{first}); {others}"
    return f"{first}); {wrong} of its {accented} lines beyond ASCII are so: save these in {encoding}, or leave them out"


def _codec(encoding: str, start: bytes) -> str:
    """The codec for an encoding; UTF-8, the default, gives way to the byte order mark of UTF-16."""
    if not _is_utf8(encoding):
        return encoding
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8")


def open_unpacked(file: str) -> IO[bytes]:
    """The bytes of a file, unpacked."""
    opener = find_opener(Path(file))
    if opener is not None:
        unpacked: IO[bytes] = opener(file)
        return unpacked
    if is_zip(Path(file)):
        names = zip_entries(Path(file))
        if len(names) != 1:
            raise DataError(
                f"data.source: {file} holds {len(names)} files, and should hold one; unpack it, and name those files"
            )
        return zipfile.ZipFile(file).open(names[0])
    return Path(file).open("rb")
