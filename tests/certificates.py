"""Certificates for tests, made by openssl: an authority, servers, an expired one, a client."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY_PASSWORD = "key-pw"  # noqa: S105 - of a key that lives as long as one test


@dataclass(frozen=True)
class Certificates:
    """PEM files in a directory."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> "Certificates":
        """Make one authority that signs `server`, `misnamed`, `expired`, `client`; and another.

        `client-locked.key` is the key of the client behind `KEY_PASSWORD`. `NAME.store` holds
        key and certificate of a server, as Kafka reads them.
        """
        made = cls(directory)
        for authority in ("ca", "other-ca"):
            made._authority(authority)
        made._signed("server", "IP:127.0.0.1,DNS:localhost")
        made._signed("misnamed", "DNS:elsewhere.example")
        made._signed("expired", "IP:127.0.0.1", days=-1)
        made._signed("client", "DNS:client")
        made._openssl(
            "pkey",
            "-in",
            "client.key",
            "-aes256",
            "-passout",
            f"pass:{KEY_PASSWORD}",
            "-out",
            "client-locked.key",
        )
        return made

    def path(self, name: str) -> str:
        """The path of a file."""
        return str(self.directory / name)

    def _authority(self, name: str) -> None:
        self._openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
        )

    def _signed(self, name: str, names: str, days: int = 2) -> None:
        self._openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName={names}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        self._openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-copy_extensions",
            "copy",
            "-days",
            str(days),
            "-out",
            f"{name}.pem",
        )
        files = [self.directory / f"{name}.key", self.directory / f"{name}.pem"]
        (self.directory / f"{name}.store").write_text("".join(file.read_text() for file in files))

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
