"""An earlier commit, whose worker and commands are run beside those of today."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from unittest.mock import patch

import orjson

from streams.config import Settings, as_environment
from streams.local import demo

ROOT = Path(__file__).parents[1]
PREFIX = "TRIAGE_"
_KEYS = """
import json
from streams.config import Settings
sections = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}
print(json.dumps([
    f"{section}__{key}" if key else section
    for section, value in sections.items()
    for key in ("", *getattr(value, "__struct_fields__", ()))
]))
"""


def work_tree(commit: str, folder: Path) -> Path:
    """The files of a commit in a folder, which are taken from git if they are missing.

    Raises:
        subprocess.CalledProcessError: this is no checkout, or it lacks the commit.
        OSError: there is no git.
    """
    tree = folder / commit
    if not tree.is_dir():
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
        tree.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    return tree


def variables(tree: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """These variables for a program of a tree, without the settings that it does not know."""
    given = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    given["PYTHONPATH"] = str(tree)
    keys = subprocess.run(
        [sys.executable, "-c", _KEYS], cwd=tree, env=given, check=True, stdout=subprocess.PIPE
    ).stdout
    known = {f"{PREFIX}{key}".upper() for key in orjson.loads(keys)}
    return given | {name: value for name, value in environ.items() if name in known}


@contextmanager
def workers_of(tree: Path | None) -> Iterator[None]:
    """Workers that start in this block are those of a tree; without one, those of today.

    They get only the settings that are not the usual ones, because usual values may hold keys that
    the tree does not know.
    """
    if tree is None:
        yield
        return
    usual = as_environment(Settings())

    def environment(settings: Settings) -> dict[str, str]:
        return variables(tree, dict(as_environment(settings).items() - usual.items()))

    # Python looks for modules in the working directory first.
    with (
        chdir(tree),
        patch.object(demo, "as_environment", environment),
        patch.dict(os.environ, variables(tree, os.environ), clear=True),
    ):
        yield
