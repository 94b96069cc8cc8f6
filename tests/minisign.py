"""Signs as minisign does, so that tests can sign what they make.

`tests/unit/test_signature.py` compares it with a signature that minisign itself made.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass
class Signer:
    """A key pair; `key_id` has eight bytes."""

    key_id: bytes = b"\x01\x02\x03\x04\x05\x06\x07\x08"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public_key(self) -> str:
        """The line that goes into the configuration."""
        return _line(b"Ed" + self.key_id + self.key.public_key().public_bytes_raw())

    def sign(self, file: Path, comment: str = "made by a test") -> None:
        """Write the signature of a file beside it."""
        signature = self.key.sign(hashlib.blake2b(file.read_bytes()).digest())
        lines = (
            "untrusted comment: anything",
            _line(b"ED" + self.key_id + signature),
            f"trusted comment: {comment}",
            _line(self.key.sign(signature + comment.encode())),
        )
        text = "".join(f"{line}\n" for line in lines)
        file.with_name(f"{file.name}.minisig").write_text(text, "utf-8")


def _line(data: bytes) -> str:
    return b64encode(data).decode()
