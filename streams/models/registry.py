"""The registry of models: a directory with a folder for each model, and a file about their roles.

NAME/
    A model directory (`inference.model.artifact`), and what is known of its making (`FACTS`).
current
    For each domain the model that is served, those before it, and the candidate.
log.ndjson
    Who changed that, and when.
.new-*
    A model that is being written. Nothing reads such a folder, and the next writer removes what
    was left by one that was killed.

A model gets its name by one rename after all of its files are on the disk, and `current` is
replaced by one rename. So whoever is killed leaves the registry as it was before or as it is after.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from inference.errors import ModelError
from inference.model.artifact import CALIBRATION, MANIFEST, load_artifact
from inference.model.files import is_plain_name, read_bounded
from inference.model.manifest import Calibration, Manifest
from inference.model.signature import PublicKey
from schemas.codec import prepared
from schemas.event import DOMAINS, Domain
from streams.disk import flush, locked, write_atomically

CURRENT = "current"
LOG = "log.ndjson"
FACTS = "learned.json"
LOCK = ".lock"
WRITING = ".writing"
NEW = ".new-"
FORMAT = 1
MAX_PREVIOUS = 5
"""So many models of a domain can be gone back to, one after the other."""
KEPT_MODELS = 10
"""So many models without a role are kept; older ones are removed."""
MAX_STATE_BYTES = 1 << 20

Role = Literal["current", "candidate", "previous", ""]


class Roles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The models of one domain by name. None is the model of `[model] path`."""

    current: str | None = None
    previous: list[str | None] = msgspec.field(default_factory=list)
    candidate: str | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the file `current` holds."""

    format: int = FORMAT
    domains: dict[Domain, Roles] = msgspec.field(default_factory=dict)

    def roles(self, domain: Domain) -> Roles:
        """The models of a domain; without an entry, it is served by the model of `[model] path`."""
        return self.domains.get(domain, Roles())

    def names(self) -> set[str]:
        """Every model that has a role."""
        return {
            name
            for roles in self.domains.values()
            for name in (roles.current, roles.candidate, *roles.previous)
            if name is not None
        }


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """How a model was learned.

    `made_at` is an RFC 3339 instant. `rows` counts the rows that taught it, by who had decided
    them. `learned_until` is when the newest of these rows was decided; None if none says it.
    """

    made_at: str
    domains: list[Domain]
    rows: dict[str, int]
    learned_until: str | None = None
    notes: list[str] = msgspec.field(default_factory=list)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the registry; `roles` are those that it has in its domains."""

    name: str
    roles: dict[Domain, Role]
    facts: Facts | None


def is_registry(path: Path) -> bool:
    """Whether a directory is a registry and not a model."""
    return (path / CURRENT).is_file() and not (path / MANIFEST).exists()


class Registry:
    """The models in `directory`. With a `public_key`, only those signed with it are promoted."""

    def __init__(self, directory: Path, public_key: PublicKey | None = None) -> None:
        self.directory = directory
        self._public_key = public_key

    def path(self, name: str) -> Path:
        """The model directory of a name.

        Raises:
            ModelError: there is no model of this name.
        """
        if not is_plain_name(name) or not (self.directory / name / MANIFEST).is_file():
            known = ", ".join(self._names()) or "it is empty"
            raise ModelError(
                f"the registry {self.directory} has no model {name[:80]!r}; it has: {known}"
            )
        return self.directory / name

    def state(self) -> State:
        """Which models are served now; an empty state if nothing was ever promoted.

        Raises:
            ModelError: the file `current` is damaged.
        """
        file = self.directory / CURRENT
        try:
            state = msgspec.json.decode(read_bounded(file, MAX_STATE_BYTES), type=prepared(State))
        except FileNotFoundError:
            return State()
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise ModelError(
                f"{file} cannot be read ({error}); restore it, or remove it to serve the model of "
                "[model] path"
            ) from None
        if state.format != FORMAT or not all(map(is_plain_name, state.names())):
            raise ModelError(f"{file} was written by another version; promote the model again")
        return state

    def models(self) -> list[Listed]:
        """Every model, the newest first."""
        state = self.state()
        listed = [
            Listed(name=name, roles=_roles_of(name, state), facts=self.facts(name))
            for name in self._names()
        ]
        return sorted(listed, key=lambda each: (each.facts is not None, _age(each)), reverse=True)

    def facts(self, name: str) -> Facts | None:
        """How a model was learned; None for a model that was not learned here."""
        try:
            return msgspec.json.decode(
                read_bounded(self.directory / name / FACTS), type=prepared(Facts)
            )
        except (OSError, ModelError, msgspec.DecodeError, RecursionError):
            return None

    def manifest(self, name: str) -> Manifest:
        """The manifest of a model, whose files are not verified.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            return msgspec.json.decode(
                read_bounded(self.path(name) / MANIFEST), type=prepared(Manifest)
            )
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise ModelError(f"the manifest of {name} cannot be read ({error})") from None

    def calibration(self, name: str) -> Calibration:
        """The calibration of a model, whose files are not verified.

        Raises:
            ModelError: it cannot be read.
        """
        try:
            return msgspec.json.decode(
                read_bounded(self.path(name) / CALIBRATION), type=prepared(Calibration)
            )
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise ModelError(f"the calibration of {name} cannot be read ({error})") from None

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """An empty folder for a new model, which is removed at the end unless `add` took it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()
        folder = Path(tempfile.mkdtemp(prefix=NEW, dir=self.directory))
        with locked(folder / WRITING):
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def add(self, folder: Path, stem: str, facts: Facts) -> str:
        """Give the model in a folder of `writing` its name, and return it.

        Its files are on the disk before it has the name.

        Raises:
            ModelError: the model is not whole.
        """
        digest = load_artifact(folder).digest
        made_at = datetime.fromisoformat(facts.made_at).strftime("%Y%m%dT%H%M%S")
        name = plain = f"{stem}-{made_at}-{digest[:8]}"
        number = 1
        while (self.directory / name).exists():  # the same rows, learned twice in a second
            number += 1
            name = f"{plain}-{number}"
        if not is_plain_name(name):
            raise ModelError(f"{name[:80]!r} cannot be the name of a model; choose a plain one")
        (folder / FACTS).write_bytes(msgspec.json.format(msgspec.json.encode(facts)) + b"\n")
        for file in folder.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
            flush(file)
        (folder / WRITING).unlink(missing_ok=True)
        folder.chmod(0o755)
        flush(folder)
        folder.rename(self.directory / name)
        flush(self.directory)
        return name

    def propose(self, name: str, domains: list[Domain], *, by: str) -> None:
        """Make a model the candidate of these domains: it shadows what is served."""
        self._change("proposed", name, domains, by, lambda roles: _with_candidate(roles, name))

    def withdraw(self, name: str, *, by: str) -> None:
        """Let a model be nobody's candidate any more."""
        domains = [d for d in DOMAINS if self.state().roles(d).candidate == name]
        self._change("withdrawn", name, domains, by, lambda roles: _with_candidate(roles, None))

    def promote(self, name: str, *, by: str) -> list[Domain]:
        """Serve a model in every domain that it has heads for, and return these domains.

        Raises:
            ModelError: there is no such model, it is damaged, or a key is configured and the model
                is not signed with it.
        """
        artifact = load_artifact(self.path(name), public_key=self._public_key)
        domains: list[Domain] = [d for d in DOMAINS if d in artifact.manifest.domains]
        self._change("promoted", name, domains, by, lambda roles: _promoted(roles, name))
        self.prune()
        return domains

    def roll_back(self, domain: Domain | None = None, *, by: str) -> dict[Domain, str | None]:
        """Serve what was served before; without a `domain`, in each that has something before it.

        Returns:
            What is served now, by domain; None is the model of `[model] path`.

        Raises:
            ModelError: there is nothing to go back to.
        """
        state = self.state()
        wanted = DOMAINS if domain is None else (domain,)
        domains: list[Domain] = [each for each in wanted if state.roles(each).previous]
        if not domains:
            raise ModelError(
                f"nothing was served before in {self.directory}, so there is nothing to go back "
                "to; promote a model by its name"
            )
        self._change("rolled back", None, domains, by, _rolled_back)
        state = self.state()
        return {each: state.roles(each).current for each in domains}

    def prune(self, keep: int = KEPT_MODELS) -> None:
        """Remove the oldest models that have no role and were learned here, except `keep`."""
        idle = [each for each in self.models() if each.facts is not None and not each.roles]
        for listed in idle[keep:]:
            doomed = Path(tempfile.mkdtemp(prefix=NEW, dir=self.directory)) / "old"
            (self.directory / listed.name).rename(doomed)
            shutil.rmtree(doomed.parent, ignore_errors=True)

    def _names(self) -> list[str]:
        try:
            entries = sorted(self.directory.iterdir())
        except OSError:
            return []
        return [
            entry.name
            for entry in entries
            if is_plain_name(entry.name) and (entry / MANIFEST).is_file()
        ]

    def _change(
        self,
        what: str,
        name: str | None,
        domains: list[Domain],
        by: str,
        change: Callable[[Roles], Roles],
    ) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory / LOCK):
            state = self.state()
            changed = {domain: change(state.roles(domain)) for domain in domains}
            self._write(msgspec.structs.replace(state, domains=state.domains | changed))
            line = {
                "at": datetime.now(UTC).isoformat(),
                "by": by,
                "what": what,
                "model": name,
                "served": {domain: changed[domain].current for domain in domains},
            }
            with (self.directory / LOG).open("ab") as log:
                log.write(msgspec.json.encode(line) + b"\n")

    def _write(self, state: State) -> None:
        document = msgspec.json.format(msgspec.json.encode(state)) + b"\n"
        write_atomically(self.directory / CURRENT, document)

    def _remove_abandoned(self) -> None:
        """Remove what killed writers have left. A writer holds a lock as long as it lives."""
        for folder in self.directory.glob(f"{NEW}*"):
            try:
                with locked(folder / WRITING, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue  # somebody writes it now, or it is gone


def _roles_of(name: str, state: State) -> dict[Domain, Role]:
    roles: dict[Domain, Role] = {}
    for domain, of_domain in state.domains.items():
        if name == of_domain.current:
            roles[domain] = "current"
        elif name == of_domain.candidate:
            roles[domain] = "candidate"
        elif name in of_domain.previous:
            roles[domain] = "previous"
    return roles


def _age(listed: Listed) -> str:
    return listed.facts.made_at if listed.facts else listed.name


def _with_candidate(roles: Roles, name: str | None) -> Roles:
    return msgspec.structs.replace(roles, candidate=name)


def _promoted(roles: Roles, name: str) -> Roles:
    candidate = roles.candidate
    if candidate == name:
        candidate = None
    if roles.current == name:
        return msgspec.structs.replace(roles, candidate=candidate)
    previous = [roles.current, *roles.previous][:MAX_PREVIOUS]
    return Roles(current=name, previous=previous, candidate=candidate)


def _rolled_back(roles: Roles) -> Roles:
    return msgspec.structs.replace(
        roles, current=roles.previous[0], previous=list(roles.previous[1:])
    )
