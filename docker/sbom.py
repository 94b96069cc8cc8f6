"""`make sbom`: writes what the product is made of, as a CycloneDX document.

The document names every Python package of the image with its version, licence and dependencies, and
the shipped model with its digest. What the base image brings is not in it: scan the image for that.

Run it with the Python of .venv-supply, which has cyclonedx-bom.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "inference" / "models" / "default"


def main() -> None:
    """Write the document; its path is an option."""
    parser = argparse.ArgumentParser(description="Write a CycloneDX SBOM of the product.")
    parser.add_argument("--python", default=sys.executable, help="the Python of the product")
    parser.add_argument("--output", type=Path, default=ROOT / "sbom.cdx.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        python = install(options.python, Path(work))
        document = describe(python)
    add_model(document, MODEL)
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    validate(text)
    options.output.write_text(text, encoding="utf-8")
    print(f"{options.output}: {len(document['components'])} components")


def install(python: str, work: Path) -> Path:
    """Install what the image has into a new environment, and return its Python."""
    product = work / "product"
    run(python, "-m", "venv", "--without-pip", str(product))
    target = product / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    # Nothing of it is ever run, so no bytecode is made.
    hashed = ("--no-compile", "--require-hashes", "-r", "docker/requirements.txt")
    run(*pip, "--python", str(target), "install", *hashed)
    return target


def describe(python: Path) -> dict:
    """The document about the packages of an environment."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    printed = subprocess.run(
        [tool, "environment", "--pyproject", "pyproject.toml", "--output-reproducible", python],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return json.loads(printed)


def add_model(document: dict, directory: Path) -> None:
    """Add the shipped model: the manifest names the digests of all its files."""
    manifest = (directory / "manifest.json").read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    name = json.loads(manifest)["name"]
    reference = f"model:{name}"
    document["components"].append(
        {
            "type": "machine-learning-model",
            "bom-ref": reference,
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "description": "The hash is that of manifest.json.",
        }
    )
    root = document["metadata"]["component"]["bom-ref"]
    for entry in document["dependencies"]:
        if entry["ref"] == root:
            entry["dependsOn"] = sorted([*entry.get("dependsOn", []), reference])
    document["dependencies"].append({"ref": reference})


def validate(text: str) -> None:
    """End the script if the document is not valid."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - only .venv-supply has it
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"the document is not valid CycloneDX 1.6: {fault}")


def run(*command: str) -> None:
    """Run a command in the root of the checkout; the script ends if the command fails."""
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
