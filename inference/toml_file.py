"""TOML as people save it."""

import tomllib
from typing import Any


def parse_toml(data: bytes) -> dict[str, Any]:
    """The document of a TOML file. The byte order mark that some editors write is left out.

    Raises:
        ValueError: it is no TOML in UTF-8; the message says why, and what to do.
    """
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8; save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"it is not valid TOML: {error}; correct it") from None
