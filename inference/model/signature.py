"""Signatures of model directories, as minisign makes them.

minisign (https://jedisct1.github.io/minisign) signs a file with Ed25519. The signature of FILE is
FILE.minisig, four lines of text:

    untrusted comment: anything
    base64 of: "ED", the id of the key (8 bytes), the signature of BLAKE2b-512(file) (64 bytes)
    trusted comment: what the signer says
    base64 of: the signature of the signature above and the trusted comment (64 bytes)

A public key is one line: base64 of "Ed", the id of the key (8 bytes) and the key (32 bytes).

A signature says who made the file. It does not say that it is the newest one: whoever can write to
the directory can put back an older model that was signed with the same key.
"""

import binascii
import hashlib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inference.errors import ConfigError, ModelError
from inference.model.files import read_bounded

SUFFIX = ".minisig"
KEY_NAME = "model.public_key"
MAX_SIGNATURE_BYTES = 4096
KEY_ALGORITHM, FILE_ALGORITHM = b"Ed", b"ED"
ID_BYTES, KEY_BYTES, SIGNATURE_BYTES = 8, 32, 64
TRUSTED_COMMENT = b"trusted comment: "


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that model directories must be signed with."""

    id: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a public key as minisign prints it: one line of 56 characters.

        Raises:
            ConfigError: it is not such a key.
        """
        try:
            data = b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if len(data) != 2 + ID_BYTES + KEY_BYTES or not data.startswith(KEY_ALGORITHM):
            raise ConfigError(
                "this is no public key of minisign; give the line of the .pub file that begins "
                "with RW",
                key=KEY_NAME,
            )
        return cls(data[2 : 2 + ID_BYTES], data[2 + ID_BYTES :])

    @property
    def name(self) -> str:
        """The id of the key as minisign prints it, in hexadecimal."""
        return f"{int.from_bytes(self.id, 'little'):X}"

    def check(self, file: Path, data: bytes) -> None:
        """Check that `data`, the content of `file`, is signed with this key.

        Raises:
            ModelError: there is no signature, it is damaged, made with another key, or of other
                bytes.
        """
        signature = _read_signature(file)
        if signature.key_id != self.id:
            other = PublicKey(signature.key_id, b"").name
            raise ModelError(
                f"{file} is signed with the key {other}, but {KEY_NAME} is the key {self.name}; "
                "use a model that its owner has signed"
            )
        digest = hashlib.blake2b(data).digest()
        if not (
            self._signed(signature.of_file, digest)
            and self._signed(signature.of_comment, signature.of_file + signature.comment)
        ):
            raise ModelError(
                f"{file} is not what was signed: it or {file.name}{SUFFIX} has changed; "
                "fetch the model again"
            )

    def _signed(self, signature: bytes, data: bytes) -> bool:
        # Only here, because most configurations have no key.
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )

        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, data)
        except (InvalidSignature, ValueError):  # ValueError: the key is no point of the curve
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Signature:
    key_id: bytes
    of_file: bytes
    comment: bytes
    of_comment: bytes


def _read_signature(file: Path) -> _Signature:
    path = file.with_name(file.name + SUFFIX)
    try:
        text = read_bounded(path, MAX_SIGNATURE_BYTES)
    except OSError:
        raise ModelError(
            f"{file} is not signed: there is no {path.name}; run minisign -Sm {file.name}, "
            f"or leave out {KEY_NAME}"
        ) from None
    try:
        return _parse(text)
    except ValueError:  # not four lines, no base64, or another algorithm
        raise ModelError(
            f"{path} is no signature that this version reads; sign {file.name} with minisign 0.10 "
            "or newer"
        ) from None


def _parse(text: bytes) -> _Signature:
    _, encoded, trusted, encoded_of_comment, *rest = text.split(b"\n")
    data = b64decode(encoded, validate=True)
    of_comment = b64decode(encoded_of_comment, validate=True)
    is_whole = (
        data.startswith(FILE_ALGORITHM)
        and len(data) == 2 + ID_BYTES + SIGNATURE_BYTES
        and len(of_comment) == SIGNATURE_BYTES
        and trusted.startswith(TRUSTED_COMMENT)
        and rest in ([], [b""])
    )
    if not is_whole:
        raise ValueError(text)
    return _Signature(
        key_id=data[2 : 2 + ID_BYTES],
        of_file=data[2 + ID_BYTES :],
        comment=trusted.removeprefix(TRUSTED_COMMENT),
        of_comment=of_comment,
    )
