"""The labels file: what is read, what is refused, and what a renamed label is called where."""

from pathlib import Path

import msgspec
import pytest

from agents.decided import Decided
from agents.enrich import enrich
from agents.feedback import apply_feedback
from agents.outcomes import DeadLettered, Reviewed, Triaged
from agents.verdict_checks import VerdictChecks
from inference.classifier import Classifier
from inference.errors import ConfigError
from inference.labels.file import LabelsFile, likeliest, read_labels, to_labels
from inference.labels.renames import Renames
from inference.labels.served import served_descriptions, within_chars
from inference.llm.options import LimitOptions
from inference.model.artifact import DEFAULT_MODEL, MANIFEST
from inference.model.manifest import Manifest
from inference.model.threads import Threads
from schemas.triaged import Alternative, Case, Label, LabelSets, Verdict
from streams.config import load
from streams.wiring.llm import limits_of
from streams.wiring.model import open_classifier, open_rules
from tests.doubles import FakeAnswered, KnownCases
from tests.records import provisional, record, unsure
from tests.tiny_model import LABELS, sample_events

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "labels.toml"
BILLING = '[tickets.queue.billing]\ndescription = "Invoices."\n'


def refusal(text: str, tmp_path: Path) -> str:
    """The sentence that refuses a file."""
    (tmp_path / "labels.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as refused:
        read_labels(tmp_path / "labels.toml")
    return str(refused.value)


def renaming(**names: str) -> LabelsFile:
    """A file in which queues of tickets have new names: the new one is the old one's value."""
    queues = {new: {"renamed_from": old} for old, new in names.items()}
    return to_labels({"tickets": {"queue": queues}})


def test_a_file_is_read_in_its_order(tmp_path: Path) -> None:
    """A description would be shown for another label, or an example would be lost."""
    path = tmp_path / "labels.toml"
    path.write_text(
        BILLING + 'examples = ["I was charged twice."]\nrenamed_from = "payments"\n'
        '[tickets.queue."a.b?"]\n[alerts.queue.cloud]\ndescription = "AWS"\n',
        "utf-8",
    )
    file = read_labels(path)
    assert list(file.places()) == [
        ("tickets", "queue", "billing"),
        ("tickets", "queue", "a.b?"),
        ("alerts", "queue", "cloud"),
    ]
    billing = file.axes("tickets")["queue"]["billing"]
    assert billing.examples == ["I was charged twice."]
    assert file.descriptions("tickets") == {"queue": {"billing": "Invoices."}}
    assert file.renames.value("tickets", "queue", "payments") == "billing"
    assert file.renames.value("alerts", "queue", "payments") == "payments"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[ticket.queue.billing]\ndescription = "x"', "did you mean tickets?"),
        ('[mail.queue.billing]\ndescription = "x"', "use alerts or tickets"),
        ('[tickets]\nqueue = "billing"', "tickets.'queue' is no table"),
        ("[tickets.queue]\nbilling = 1", "'billing' is no table"),
        ("[tickets.queue.Billing]\n[tickets.queue.billing]", "read as one name"),
        ("[tickets.queue.top-up]\n[tickets.queue.top_up]", "read as one name"),
        ('[tickets.queue.billing]\n[tickets.queue."b\uff49lling"]', "read as one name"),
        ('[tickets.queue.billing]\ndescription = ""', "description"),
        ('[tickets.queue.billing]\ndescription = "  "', "description"),
        (f'[tickets.queue.billing]\ndescription = "{"x" * 501}"', "description"),
        (f"[tickets.queue.billing]\nexamples = {['x'] * 11}", "examples"),
        (f'[tickets.queue.billing]\nexamples = ["{"x" * 501}"]', "examples"),
        ('[tickets.queue.billing]\nexamples = [""]', "examples"),
        ('[tickets.queue.billing]\ntitle = "x"', "unknown field `title`"),
        ('[tickets.queue." billing"]', "is no name of a label"),
        ('[tickets.queue."bil\\u200bling"]', "is no name of a label"),
        (f"[tickets.queue.{'x' * 201}]", "is no name of a label"),
        ("".join(f"[tickets.queue.l{n}]\n" for n in range(1001)), "1001 labels"),
        ("[tickets.queue", "is not valid TOML"),
        (
            '[tickets.queue.billing]\nrenamed_from = "payments"\n[tickets.queue.payments]',
            "which is still a label",
        ),
        (
            '[tickets.queue.billing]\nrenamed_from = "Payments"\n[tickets.queue.payments]',
            "which is still a label",
        ),
        ('[tickets.queue.billing]\nrenamed_from = "billing"', "which is still a label"),
        (
            '[tickets.queue.a1]\nrenamed_from = "old"\n[tickets.queue.b1]\nrenamed_from = "old"',
            "two labels that are renamed from 'old'",
        ),
        ('[alerts.severity.sev1]\nrenamed_from = "critical"', "keep its name"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text: str, says: str, tmp_path: Path) -> None:
    """A mistake would be served in silence, and the label would have no description or be lost."""
    sentence = refusal(text, tmp_path)
    assert says in sentence
    assert sentence.startswith(str(tmp_path / "labels.toml"))
    assert "\n" not in sentence.partition("not valid TOML")[0]


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    """A file that was saved with Notepad would be called invalid at its first character."""
    path = tmp_path / "labels.toml"
    path.write_bytes(b"\xef\xbb\xbf[tickets.queue.billing]\n")
    assert list(read_labels(path).axes("tickets")["queue"]) == ["billing"]
    path.write_bytes("[tickets.queue.geb\xfchren]".encode("cp1252"))
    with pytest.raises(ConfigError, match="it is not UTF-8; save it as UTF-8"):
        read_labels(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A mistyped path would leave every label without a description."""
    with pytest.raises(ConfigError, match="does not exist; make it with triage labels init"):
        read_labels(tmp_path / "labels.toml")


def test_a_change_of_case_is_a_new_name() -> None:
    """A user could not correct the spelling of a label without training."""
    assert renaming(billing="Billing").renames.value("tickets", "queue", "billing") == "Billing"


def test_the_likeliest_name_is_found_whatever_its_case() -> None:
    """A misspelt label would be reported without what was meant."""
    names = ["card_orders", "card_problems", "top_up", "fees_fx"]
    assert likeliest("Card Order", names) == "card_orders"
    assert likeliest("topup", names) == "top_up"
    assert likeliest("shipping", names) is None


def test_the_example_describes_every_label_of_the_shipped_model() -> None:
    """An LLM would be shown some labels without a description, or labels that no model gives."""
    manifest = msgspec.json.decode((DEFAULT_MODEL / MANIFEST).read_bytes(), type=Manifest)
    described = read_labels(EXAMPLE).domains
    for domain, spec in manifest.domains.items():
        of_domain = {axis: set(axis_spec.labels) for axis, axis_spec in spec.axes.items()}
        descriptions = read_labels(EXAMPLE).descriptions(domain)
        assert {axis: set(labels) for axis, labels in descriptions.items()} == of_domain
    assert set(described) == set(manifest.domains)


def test_the_example_is_shown_whole_by_default() -> None:
    """The descriptions that ship would be cut without anybody having asked for it."""
    max_chars = load(None, {}).labels.max_prompt_chars
    for domain in ("alerts", "tickets"):
        descriptions = read_labels(EXAMPLE).descriptions(domain)
        assert within_chars(descriptions, max_chars) == descriptions


def test_long_descriptions_are_cut_to_one_length() -> None:
    """A thousand descriptions would cost more than the event, or an axis would have none."""
    long = {"queue": {"a": "x" * 300, "b": "short"}, "intent": {"c": "y" * 300}}
    cut = within_chars(long, 205)
    assert cut == {"queue": {"a": "x" * 99 + "…", "b": "short"}, "intent": {"c": "y" * 99 + "…"}}
    assert within_chars({"queue": {"a": "x" * 300, "b": "y" * 300}}, 40) == {}, "too short to say"
    assert within_chars({"queue": {"a": "Two\nlines"}}, 100) == {"queue": {"a": "Two lines"}}
    assert within_chars({}, 100) == {}


def test_only_labels_of_the_model_are_described_in_its_order() -> None:
    """An LLM would be offered a label that no model gives and no topic may carry."""
    file = to_labels(
        {"tickets": {"queue": {name: {"description": name} for name in ("new", "b", "a")}}}
    )
    served = served_descriptions(file, "tickets", {"queue": ("a", "b"), "intent": ("c",)})
    assert list(served["queue"]) == ["a", "b"]
    assert list(served) == ["queue"]


async def test_a_model_is_served_with_the_new_name(tiny_model: Path) -> None:
    """A renamed label would need a new training, or rules and events would have two names of it."""
    events = sample_events("tickets")
    names = {name: f"our {name}" for name in LABELS["tickets"]["queue"]}
    old = Classifier.open(tiny_model, threads=Threads(1, 1))
    new = Classifier.open(tiny_model, threads=Threads(1, 1), labels=renaming(**names))
    before, after = await old.classify("tickets", events), await new.classify("tickets", events)
    await old.close()
    await new.close()
    assert new.labels("tickets")["queue"] == tuple(names[n] for n in old.labels("tickets")["queue"])
    assert new.labels("alerts") == old.labels("alerts")
    assert set(new.usual_queues()["tickets"]) == set(names.values())
    for one, other in zip(before, after, strict=True):
        label, renamed = one.labels["queue"], other.labels["queue"]
        assert renamed.value == names[label.value]
        assert [a.value for a in renamed.alternatives] == [
            names[a.value] for a in label.alternatives
        ]
        assert (renamed.confidence, other.risk) == (label.confidence, one.risk)
        assert other.labels["intent"] == one.labels["intent"]


def test_two_labels_of_a_model_are_not_made_one(tiny_model: Path) -> None:
    """Two columns of the model would have one name, and its probabilities would not add up."""
    file = to_labels({"tickets": {"queue": {"top_up": {"renamed_from": "transfers"}}}})
    with pytest.raises(ConfigError, match="the model has both labels"):
        Classifier.open(tiny_model, threads=Threads(1, 1), labels=file)


async def test_a_label_that_the_model_lacks_is_named_and_not_offered(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A user would wait for events in a queue that no model can choose."""
    file = to_labels({"tickets": {"queue": {"billing": {"description": "x"}, "top_up": {}}}})
    classifier = Classifier.open(tiny_model, threads=Threads(1, 1), labels=file)
    await classifier.close()
    (message,) = [m for m in caplog.messages if "labels file" in m]
    assert "tickets.queue.billing" in message
    assert "top_up" not in message
    assert "billing" not in classifier.labels("tickets")["queue"]
    assert classifier.descriptions("tickets") == {}


def test_a_decision_with_the_old_name_gets_the_new_one() -> None:
    """An egress rule about the new name would not hold for an older event that is quoted."""
    renames = renaming(top_up="deposits", transfers="payments").renames
    label = Label(
        value="top_up",
        confidence=0.6,
        alternatives=[Alternative(value="transfers", confidence=0.3)],
    )
    old = msgspec.structs.replace(provisional(), labels={"queue": label}, queue="top_up")
    new = renames.triaged(old)
    assert (new.labels["queue"].value, new.queue) == ("deposits", "deposits")
    assert new.labels["queue"].alternatives[0].value == "payments"
    assert renames.triaged(new) is new
    sent_elsewhere = msgspec.structs.replace(old, queue="vip")
    assert renames.triaged(sent_elsewhere).queue == "vip", "a rule has chosen this queue"
    assert Renames().triaged(old) is old


async def test_a_case_from_before_ends_with_the_new_name() -> None:
    """A case that waited while a label was renamed would end with a name that nobody knows."""
    case = unsure()
    value = case.triaged.labels["queue"].value
    renames = renaming(**{value: "new name"}).renames
    assert case.triaged.domain == "tickets"
    (outcome,) = await enrich(
        [record(case)], consultant=None, memory=FakeAnswered(), renames=renames
    )
    assert isinstance(outcome, Reviewed)
    assert outcome.case.triaged.labels["queue"].value == "new name"
    assert outcome.case.triaged.queue == "new name"


async def test_a_verdict_with_the_old_name_is_one_with_the_new() -> None:
    """What a person decided before a label was renamed would be a dead letter."""
    renames = renaming(top_up="deposits").renames
    labels: LabelSets = {
        "tickets": {
            axis: renames.values("tickets", axis, names)
            for axis, names in LABELS["tickets"].items()
        }
    }
    assert provisional().labels["queue"].value == "top_up"
    for chosen in ({"queue": "top_up"}, {"queue": "deposits"}, {}):
        verdict = Verdict(triaged=provisional(), labels=chosen, by="r.okafor")
        checks = VerdictChecks(labels, renames=renames)
        (outcome,) = await apply_feedback(
            [record(verdict)], checks=checks, cases=KnownCases(), decided=Decided()
        )
        assert isinstance(outcome, Triaged), chosen
        assert outcome.triaged.labels["queue"].value == "deposits"
        assert outcome.triaged.queue == "deposits"
    (refused,) = await apply_feedback(
        [record(verdict)], checks=VerdictChecks(labels), cases=KnownCases(), decided=Decided()
    )
    assert isinstance(refused, DeadLettered), "without the new name the old one is unknown"


def test_limits_hold_for_the_new_name_too() -> None:
    """An LLM could close an event or lower a label, because the limit has the label's old name."""
    limits = LimitOptions(orders={"queue": ["p4", "p1"]}, guarded={}, closing=["spam"])
    file = renaming(spam="junk", p4="calm")
    renamed = limits_of(limits, file.renames)
    assert renamed.closing == ["spam", "junk"]
    assert renamed.orders == {"queue": ["p4", "calm", "p1"]}
    assert limits_of(limits, Renames()) is limits


async def test_a_rule_with_the_old_name_is_reported(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A rule would never hold again, and nobody would know."""
    (tmp_path / "labels.toml").write_text(
        '[tickets.queue.deposits]\nrenamed_from = "top_up"\n', "utf-8"
    )
    (tmp_path / "triage.toml").write_text(
        "[[rules]]\nname = 'vip'\nwhen = 'labels.queue == \"top_up\"'\nreview = true\n"
        f"[labels]\npath = {str(tmp_path / 'labels.toml')!r}\n"
        f"[model]\npath = {str(tiny_model)!r}\nreplicas = 1\n",
        "utf-8",
    )
    settings = load(tmp_path / "triage.toml", {})
    classifier = open_classifier(settings)
    open_rules(settings, classifier)
    await classifier.close()
    assert any(
        "'vip' names the label 'top_up', which is 'deposits' today" in message
        for message in caplog.messages
    )


def test_a_case_without_renamed_labels_is_the_same_object() -> None:
    """Every case would be written anew, and a signature over it would no longer fit."""
    case: Case = unsure()
    assert renaming(other="new").renames.case(case) is case
