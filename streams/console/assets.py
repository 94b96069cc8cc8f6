"""The files of the pages, which are read once and served from memory.

A request names a key of a dictionary and never a path, so no request leads out of the folder.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from streams.console.access import needs

STATIC = Path(__file__).parent / "static"
INDEX = "/index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
COMPRESSED = frozenset({".html", ".js", ".mjs", ".css", ".json", ".svg", ".txt", ".webmanifest"})
# The name has a digest in it, so the file never changes under this name.
IMMUTABLE = re.compile(r"\.[0-9a-f]{8,}\.\w+$")
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: as it is, and compressed if that is worth it."""

    body: bytes
    compressed: bytes | None
    type: str
    etag: str
    caching: str


class Assets:
    """All files of a folder; with `reload` they are read for every request, to write pages."""

    def __init__(self, folder: Path = STATIC, *, reload: bool = False) -> None:
        self._folder = folder
        self._reload = reload
        self._assets = _read(folder)

    def __len__(self) -> int:
        return len(self._assets)

    @needs(None)
    async def get(self, request: web.Request) -> web.Response:
        """Serve a file; a path without a dot is a page, and all pages are the index."""
        if self._reload:
            self._assets = _read(self._folder)
        asset = self._assets.get(request.path)
        is_page = not request.path.startswith("/api/") and "." not in request.path.rsplit("/")[-1]
        if asset is None and is_page:
            asset = self._assets.get(INDEX)
        if asset is None:
            raise web.HTTPNotFound
        headers = {
            hdrs.ETAG: asset.etag,
            hdrs.CACHE_CONTROL: asset.caching,
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        if request.headers.get(hdrs.IF_NONE_MATCH) == asset.etag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        body: Any = asset.body
        if asset.compressed and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            body = asset.compressed
        return web.Response(body=body, headers={**headers, hdrs.CONTENT_TYPE: asset.type})


def _read(folder: Path) -> dict[str, Asset]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    assets = {f"/{path.relative_to(folder).as_posix()}": path for path in files}
    return {
        name: _asset(name, path)
        for name, path in assets.items()
        if path.suffix in TYPES and "/." not in name
    }


def _asset(name: str, path: Path) -> Asset:
    body = path.read_bytes()
    compressed = gzip.compress(body, 9, mtime=0) if path.suffix in COMPRESSED else None
    if compressed is not None and len(compressed) >= len(body):
        compressed = None
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    caching = FOREVER if IMMUTABLE.search(name) else "no-cache"
    return Asset(body, compressed, TYPES[path.suffix], etag, caching)
