"""`make audit`: asks a database of known vulnerabilities about every pinned package.

Exit codes: 0 none is known, 1 some are known, 3 not every package could be checked. Each ends with
one sentence.

Run it with the Python of .venv-supply, which has pip-audit.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCKER = Path(__file__).resolve().parent
PINS = ("constraints.txt", "build-requirements.txt", "supply-requirements.txt")
SERVICES = ("pypi", "osv")
TIMEOUT_S = 600
NOT_CHECKED = 3

Dependency = dict[str, Any]
"""`name`, `version`, and either `vulns` or `skip_reason`, as pip-audit writes them."""


def main() -> int:
    """Print what is known, and return the exit code."""
    dependencies = ask()
    for line in known(dependencies):
        print(line)
    code, sentence = verdict(dependencies)
    print(sentence, file=sys.stderr if code else sys.stdout)
    return code


def ask() -> list[Dependency]:
    """What the first database that answers says; empty if none answers."""
    answers = (ask_service(service) for service in SERVICES)
    return next((answer for answer in answers if any("vulns" in d for d in answer)), [])


def ask_service(service: str) -> list[Dependency]:
    """What one database says about each package; empty if it does not answer."""
    files = [word for name in PINS for word in ("--requirement", str(DOCKER / name))]
    tool = Path(sys.executable).with_name("pip-audit")
    command = [tool, "--vulnerability-service", service, "--disable-pip", "--require-hashes"]
    try:
        done = subprocess.run(
            [*command, "--format", "json", *files],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        return json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return []


def known(dependencies: Sequence[Dependency]) -> list[str]:
    """One line for each known vulnerability."""
    return [
        f"{dependency['name']} {dependency['version']}: {vulnerability['id']}"
        f" (mended in {', '.join(vulnerability['fix_versions']) or 'no release yet'})"
        for dependency in dependencies
        for vulnerability in dependency.get("vulns", ())
    ]


def verdict(dependencies: Sequence[Dependency]) -> tuple[int, str]:
    """The exit code and the sentence that explains it."""
    affected = sum(1 for dependency in dependencies if dependency.get("vulns"))
    unchecked = [dependency["name"] for dependency in dependencies if "vulns" not in dependency]
    if affected:
        return 1, (
            f"{affected} of {len(dependencies)} packages have known vulnerabilities: raise their "
            "versions with docker/lock --upgrade-package NAME."
        )
    if not dependencies:
        return NOT_CHECKED, (
            "No database of vulnerabilities answered, so nothing was checked: run make audit "
            "where one can be reached."
        )
    if unchecked:
        return NOT_CHECKED, (
            f"The database knows nothing of {', '.join(unchecked)}, so they were not checked: "
            "look them up by hand."
        )
    return 0, f"No vulnerability is known in the {len(dependencies)} pinned packages."


if __name__ == "__main__":
    sys.exit(main())
