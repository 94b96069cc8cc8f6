"""Reads a secret from an environment variable or a file; the configuration never contains one."""

import os
from collections.abc import Mapping
from pathlib import Path

from inference.errors import ConfigError


def read_secret(
    env: str | None, file: str | None, *, key: str, environ: Mapping[str, str] = os.environ
) -> bytes | None:
    """Return the secret in the variable `env` or in `file`, without ASCII white space around it.

    Args:
        env: the name of the variable, or None. It wins if both are given.
        file: the path of the file, or None.
        key: the name of the secret in the configuration, without the ending `_env` or `_file`, for
            instance ``audit.key``.
        environ: the environment.

    Returns:
        None if neither a variable nor a file is configured.

    Raises:
        ConfigError: the variable or the file is missing or empty. The message names the key, and
            neither the variable nor the file: somebody may have typed the secret itself there.
    """
    if env is not None:
        # Python reads bytes that are no UTF-8 as lone surrogates; this gives the bytes back.
        secret = environ.get(env, "").encode(errors="surrogateescape").strip()
        if not secret:
            raise ConfigError(
                "the variable that it names is not set or empty; put the secret into the variable",
                key=f"{key}_env",
            )
        return secret
    return None if file is None else _read_file(file, f"{key}_file")


def _read_file(file: str, key: str) -> bytes:
    try:
        secret = Path(file).read_bytes().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(
            f"the file cannot be read ({reason}); name a file that holds the secret", key=key
        ) from None
    if not secret:
        raise ConfigError("the file is empty; put the secret into it", key=key)
    return secret
