"""A text at an address of the web."""

import http.client
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from hftransfer.core.errors import RecipeError

_MOST_BYTES, _SECONDS = 1_000_000, 30
# Who answers there is this machine, so nobody in between can change what arrives.
_OWN = ("127.0.0.1", "localhost", "::1")


def is_address(text: str) -> bool:
    """Whether a text is an address rather than a path or a name."""
    return text.startswith(("https://", "http://"))


def read_address(address: str) -> str:
    """The text at an address.

    Raises:
        RecipeError: it is not https, cannot be reached in half a minute, has more than a megabyte, or no text.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in _OWN:
        raise RecipeError(f"'{address}': a recipe is read from https:// alone")
    try:
        with urlopen(Request(address, headers={"User-Agent": "hftransfer"}), timeout=_SECONDS) as answer:
            content: bytes = answer.read(_MOST_BYTES + 1)
    except HTTPError as error:
        raise RecipeError(f"'{address}': the server answers {error.code} ({error.reason})") from None
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise RecipeError(f"'{address}' cannot be read ({reason})") from None
    if len(content) > _MOST_BYTES:
        raise RecipeError(f"'{address}' has more than {_MOST_BYTES:,} bytes, so it is no recipe")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RecipeError(f"'{address}' is no text in UTF-8, so it is no recipe") from None
