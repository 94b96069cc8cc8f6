"""The trees of exceptions: every package lists exactly the exceptions that it defines."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import NoReturn

import pytest

import inference.errors
import schemas.errors
import streams.errors

BASES: dict[str, type[Exception]] = {
    "schemas": schemas.errors.SchemaError,
    "inference": inference.errors.InferenceError,
    "streams": streams.errors.StreamError,
}
OUR_PACKAGES = {"agents", "inference", "schemas", "streams"}
BRANCH = re.compile(r"^[│ ]*[├└]── (\w+) ", re.MULTILINE)


def modules_of(package: str) -> Iterator[ModuleType]:
    """Import every module of a package, except those that need an extra that is not installed."""
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}.", onerror=raise_again):
        if module.name.endswith(".__main__"):  # it would start the command line
            continue
        try:
            yield importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] in OUR_PACKAGES:
                raise


def raise_again(_: str) -> NoReturn:
    """Raise the error that `walk_packages` would ignore, so that no package is left out."""
    raise  # noqa: PLE0704 - called in the handler of `walk_packages`


def subclasses(base: type[BaseException]) -> Iterator[type[BaseException]]:
    """The subclasses of a class, and theirs."""
    for subclass in base.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def listed(package: str) -> list[str]:
    """The names in the tree of a package, in the docstring of its `errors` module."""
    text = importlib.import_module(f"{package}.errors").__doc__ or ""
    base = BASES[package].__name__
    assert re.search(rf"^{base}\b", text, re.MULTILINE), f"the tree does not begin with {base}"
    return [base, *BRANCH.findall(text)]


@pytest.mark.parametrize("package", BASES)
def test_the_tree_names_every_subclass_of_the_base_error(package: str) -> None:
    """Otherwise a reader of the tree would not handle an error, or handle one that is not there."""
    assert list(modules_of(package))
    defined = {
        subclass.__name__
        for subclass in subclasses(BASES[package])
        if subclass.__module__.startswith(f"{package}.")
    }
    assert sorted(listed(package)) == sorted({BASES[package].__name__, *defined})


@pytest.mark.parametrize("package", BASES)
def test_every_public_exception_of_a_package_is_in_its_tree(package: str) -> None:
    """Otherwise an error without our base class would end the command line with a traceback."""
    defined = {
        name
        for module in modules_of(package)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseException)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert sorted(defined - set(listed(package))) == []
