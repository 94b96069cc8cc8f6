"""The command line, `triage`: each command has a module of its own, which is loaded to run it."""

import importlib
import logging
import os
import sys
import traceback
from typing import Any

import click

from inference.errors import ConfigError, InferenceError
from schemas.errors import SchemaError
from schemas.visible_text import printable_lines, truncated
from streams.cli.output import echo
from streams.errors import StreamError

COMMANDS = {
    "audit": ("audit:audit", "Check the log of decisions."),
    "broker": ("broker:broker", "Run a Kafka-protocol broker on this machine."),
    "calibrate": ("calibrate:calibrate", "Fit a model's thresholds to labelled rows of one's own."),
    "classify": ("classify:classify", "Triage the events of a file, with no broker."),
    "config": ("config:config", "Show or validate the configuration."),
    "console": ("console:console", "Serve the pages on which people see the stream and decide."),
    "convert": (
        "convert:convert",
        "Turn a Hugging Face encoder into an int8 one, checked on real text.",
    ),
    "cost": ("cost:cost", "Report what the LLM has cost and what was saved."),
    "deadletters": ("deadletters:deadletters", "List or replay what could not be processed."),
    "demo": ("demo:demo", "See the whole pipeline work on sample events."),
    "doctor": ("doctor:doctor", "Check broker, topics, model and LLM."),
    "evaluate": ("evaluate:evaluate", "Measure the model on labelled rows, beside baselines."),
    "formats": ("formats:formats", "Say which formats are read, and how a file is read."),
    "labels": ("labels:labels", "Make and check a labels file, and erase labelled rows."),
    "learn": ("learn:learn", "Train a candidate on what people and the LLM decided."),
    "models": ("models:models", "Say what the model is, compare, promote, roll back."),
    "review": ("review:review", "List and decide what waits for a person."),
    "promise": ("promise:promise", "Say whether the promise is kept on live traffic."),
    "schemas": ("schemas:schemas", "Export the JSON Schemas of the topics."),
    "send": ("send:send", "Produce the events of a file to an input topic."),
    "topics": ("topics:topics", "Create or check the topics."),
    "train": ("train:train", "Train a model directory from labelled NDJSON."),
    "watch": ("watch:watch", "Print triaged events as they come."),
    "worker": ("worker:worker", "Run the Faust worker."),
}


MAX_SENTENCE_CHARS = 1_000
"""An error may quote what somebody sent, which may be long."""


class LazyGroup(click.Group):
    """Imports the module of a command only to run it.

    So `--help` does not wait for Faust and CTranslate2.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command's name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(f"streams.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in sorted(COMMANDS.items())])


@click.group(
    cls=LazyGroup,
    epilog="Example: triage demo",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="triage-stream", prog_name="triage")
def triage() -> None:
    """Triage alerts and tickets on a Kafka stream."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line.

    Every error is one sentence on stderr. The exit code is 1 if the work failed, and 2 for wrong
    usage or configuration.
    """
    # Errors of aiokafka come back as sentences of our own. Only the worker configures logging, and
    # so prints what aiokafka logs.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        code = triage.main(args=arguments, prog_name="triage", standalone_mode=False)
    except ConfigError as error:
        sys.exit(_complain(str(error), 2))
    except (StreamError, InferenceError, SchemaError) as error:
        sys.exit(_complain(str(error), 1))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        hint = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        sys.exit(_complain(f"{error.format_message().rstrip('.')}{hint}", 2))
    except click.ClickException as error:
        sys.exit(_complain(error.format_message(), error.exit_code))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_complain("stopped", 130))
    except BrokenPipeError:  # the reader of our output has ended, for instance `head`
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a sentence
        sys.exit(_report(error))
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception) -> int:
    if os.environ.get("TRIAGE_TRACEBACK"):
        for line in printable_lines("".join(traceback.format_exception(error)).rstrip()):
            echo(line, err=True)
        return 1
    what = truncated(f"unexpected {type(error).__name__}: {error}", MAX_SENTENCE_CHARS // 2)
    hint = "run it again with TRIAGE_TRACEBACK=1 and report what that prints"
    return _complain(f"{what}; {hint}", 1)


def _complain(sentence: str, code: int) -> int:
    echo(f"triage: {' '.join(sentence.split())}", err=True, max_chars=MAX_SENTENCE_CHARS)
    return code
