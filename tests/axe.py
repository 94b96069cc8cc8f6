"""axe-core, which finds barriers in a page. It is fetched for the tests, and not shipped."""

import hashlib
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streams.local.brokers.java import default_cache_dir
from tests.chromium import Page

VERSION = "4.14.1"
PACKAGE_SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
BARRIERS = ("serious", "critical")


def fetch_axe() -> str:
    """The source of axe-core, from the cache or the npm registry.

    Raises:
        ValueError: the package is not the one that is pinned here.
    """
    path = default_cache_dir() / f"axe-core-{VERSION}.tgz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder:
            command = ["npm", "pack", f"axe-core@{VERSION}", "--silent"]
            subprocess.run(command, cwd=folder, check=True, timeout=100, capture_output=True)
            next(Path(folder).glob("*.tgz")).replace(path)
    package = path.read_bytes()
    if hashlib.sha256(package).hexdigest() != PACKAGE_SHA256:
        path.unlink()
        raise ValueError(f"axe-core {VERSION} is not the package whose SHA-256 is known")
    with tarfile.open(fileobj=BytesIO(package)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


async def barriers(page: Page, source: str) -> list[str]:
    """What axe calls serious or critical on a page, as lines for a person."""
    await page.ask(f"{source}; 0")
    rules = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
    result: dict[str, Any] = await page.ask(
        "axe.run(document, {resultTypes: ['violations'], runOnly: " + rules + "})"
    )
    return [
        f"{found['impact']} {found['id']}: {found['help']}: {node['html'][:200]}"
        for found in result["violations"]
        if found["impact"] in BARRIERS
        for node in found["nodes"]
    ]
