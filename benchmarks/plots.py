"""The plots of benchmarks: each has a template ``plot.svg.j2`` in its own folder."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def svg_template(folder: Path) -> Template:
    """The template of a folder. Its filter ``units`` prints positions and lengths."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["units"] = lambda value: f"{value:.1f}"
    return environment.get_template("plot.svg.j2")
