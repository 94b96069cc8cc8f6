"""The learning curve: how often models are right that learned from so many labelled rows."""

import asyncio
from typing import Any

import msgspec

from inference.acceptance.forecast import CurvePoint
from inference.acceptance.learning import AlphaLine, axis_learning, learning_table
from inference.errors import InferenceError
from schemas.event import DOMAINS, Domain
from streams.config import Settings
from streams.console.figures import Part
from streams.models.registry import Registry
from streams.models.served import ServedModels

NO_REGISTRY = (
    "no model learns from people's decisions here; set learning.models to a folder, and run a "
    "worker with the agent learn"
)


class LearnedPoint(msgspec.Struct, frozen=True):
    """How often a model is right on rows that it has not seen, in [0, 1].

    `rows` is what it learned from. `model` is its name; None if it was only made for the curve.
    """

    rows: int
    right: float
    model: str | None = None


class DomainLearning(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one domain, by its first deciding axis.

    `models` has the models that learned here, by the rows that they learned from. `curve` has
    quicker models, which learned from a part of the rows of the newest one. `line` says what is
    accepted now and how many rows more are needed, by the model that is served.
    """

    axis: str
    models: list[LearnedPoint]
    curve: list[LearnedPoint]
    line: AlphaLine | None


def learning_part(settings: Settings, models: ServedModels) -> Part:
    """What the models of the registry, and the served ones, have learned."""

    async def say() -> tuple[Any, str | None]:
        found = await asyncio.to_thread(_learning, settings, models)
        return found or None, None if found else _why_nothing(settings, models.registry)

    return say


def _why_nothing(settings: Settings, registry: Registry | None) -> str:
    if registry is None:
        return NO_REGISTRY
    return (
        "no model has learned from people's decisions yet; the first one is trained when people "
        f"have decided {settings.learning.min_new_rows} events of a domain"
    )


def _learning(settings: Settings, models: ServedModels) -> dict[Domain, DomainLearning]:
    found = {}
    for domain in DOMAINS:
        of_domain = _of_domain(settings, models, domain)
        if of_domain is not None:
            found[domain] = of_domain
    return found


def _of_domain(settings: Settings, models: ServedModels, domain: Domain) -> DomainLearning | None:
    terms = settings.domain(domain)
    points: list[LearnedPoint] = []
    curve: list[LearnedPoint] = []
    axis = terms.deciding[0]
    for name, made_from in _made_from(models):
        learning = axis_learning(made_from, domain)
        if not learning:
            continue
        axis = next((each for each in terms.deciding if each in learning), min(learning))
        points.append(_point(learning[axis].curve.now, name))
        # The newest comes last.
        curve = [_point(each) for each in learning[axis].curve.points]
    if not points:
        return None
    points.sort(key=lambda each: (each.rows, each.model or ""))
    line = None
    if domain in models.serving.domains:
        artifact = models.serving.of(domain).artifact
        table = learning_table(artifact, domain, terms)
        lines = table.lines if table else ()
        line = min(lines, key=lambda each: abs(each.alpha - terms.alpha), default=None)
    return DomainLearning(axis=axis, models=points, curve=curve, line=line)


def _made_from(models: ServedModels) -> list[tuple[str, dict[str, Any]]]:
    """What each model was calibrated with: that of `[model] path`, then the registry's by age."""
    registry = models.registry
    artifacts = [classifier.artifact for classifier in models.serving.classifiers]
    found = [
        (artifact.manifest.name, artifact.calibration.made_from)
        for artifact in artifacts
        if registry is None or artifact.directory.parent != registry.directory
    ]
    if registry is None:
        return found
    for listed in reversed(registry.models()):
        try:
            found.append((listed.name, registry.calibration(listed.name).made_from))
        except InferenceError:
            continue  # it is being removed
    return found


def _point(point: CurvePoint, model: str | None = None) -> LearnedPoint:
    right = 1 - point.errors[-1] / max(1, point.rows)
    return LearnedPoint(point.rows, round(right, 4), model)
