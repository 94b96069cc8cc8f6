"""The egress policy: which events may be sent, and that an unsure case is not sent."""

from typing import Any

import msgspec
import pytest

from inference.egress.options import EgressOptions, EgressRule
from inference.egress.policy import EgressDecision, Policy
from inference.errors import ConfigError
from schemas.event import Event
from schemas.triaged import Alternative, Label
from tests.records import triaged

LABELS = {"queue": ["cloud", "identity"], "severity": ["low", "high"]}


def decision(
    rules: list[dict[str, Any]], *, default: str = "redacted", keep: Any = (), **changes: Any
) -> EgressDecision:
    """The decision of a configuration about the usual event with some changes."""
    options = msgspec.convert(
        {"default": default, "keep": list(keep), "rules": rules}, EgressOptions
    )
    return Policy(options).decision(triaged(**changes))


def test_without_rules_events_are_redacted() -> None:
    """A fresh installation would send the data of customers without redaction."""
    assert Policy(EgressOptions()).decision(triaged()) == EgressDecision("redacted")


@pytest.mark.parametrize("default", ["never", "redacted", "full"])
def test_the_default_applies_if_no_rule_matches(default: str) -> None:
    """A tenant without a rule would get the rule of another tenant."""
    assert decision([{"policy": "never", "tenants": ["other"]}], default=default).policy == default


def test_the_strictest_of_the_matching_rules_wins() -> None:
    """The order of the rules in a file would decide what is sent."""
    rules: list[dict[str, Any]] = [
        {"policy": "full"},
        {"policy": "never", "domains": ["alerts"]},
        {"policy": "redacted"},
    ]
    for ordered in (rules, rules[::-1]):
        assert decision(ordered).policy == "never"
        assert decision(ordered, domain="tickets").policy == "redacted"


@pytest.mark.parametrize(
    ("condition", "other"),
    [
        ({"tenants": ["default"]}, {"tenant": "acme"}),
        ({"domains": ["alerts"]}, {"domain": "tickets"}),
        ({"sources": ["okta"]}, {"source": "zeek"}),
        ({"sources": ["okta"]}, {"source": None}),
        (
            {"labels": {"queue": ["cloud"]}},
            {"labels": {"queue": Label(value="identity", confidence=1.0)}},
        ),
        ({"labels": {"queue": ["cloud"]}}, {"labels": {}}),
    ],
)
def test_a_rule_with_an_unmet_condition_does_not_match(
    condition: dict[str, Any], other: dict[str, Any]
) -> None:
    """A rule for one source would also stop or send the events of the others."""
    rules = [{"policy": "never", **condition}]
    assert decision(rules, source="okta").policy == "never"
    assert decision(rules, **{"source": "okta"} | other).policy == "redacted"


def test_a_rule_needs_all_its_conditions() -> None:
    """`full` for the tickets of one tenant would apply to all its events."""
    rules = [{"policy": "full", "tenants": ["default"], "domains": ["tickets"]}]
    assert decision(rules).policy == "redacted"


UNSURE = Label(
    value="cloud",
    confidence=0.5,
    alternatives=[Alternative(value="identity", confidence=0.4)],
    abstained=True,
)


def test_a_strict_rule_matches_an_alternative() -> None:
    """Escalated events have unsure labels: identity alerts would be sent after a wrong guess."""
    rules = [{"policy": "never", "labels": {"queue": ["identity"]}}]
    assert decision(rules, labels={"queue": UNSURE}).policy == "never"


def test_a_loose_rule_needs_a_sure_label() -> None:
    """An event would be sent in full because of a guessed label."""
    rules = [{"policy": "full", "labels": {"queue": ["cloud"]}}]
    assert decision(rules, labels={"queue": UNSURE}).policy == "redacted"
    assert decision(rules).policy == "full"
    kept = [{"policy": "redacted", "labels": {"queue": ["cloud"]}, "keep": ["ip"]}]
    assert decision(kept, labels={"queue": UNSURE}).keep == frozenset()
    assert decision(kept).keep == {"ip"}


def test_only_kinds_that_all_winning_rules_keep_are_kept() -> None:
    """A rule that keeps much would undo a rule that keeps little."""
    rules = [
        {"policy": "redacted", "keep": ["ip", "host"]},
        {"policy": "redacted", "keep": ["ip", "mac"]},
    ]
    assert decision([*rules, {"policy": "full", "keep": []}], keep=["email"]).keep == {"ip"}
    assert decision([], keep=["email"]).keep == {"email"}


@pytest.mark.parametrize("kind", ["secret", "card", "ssn", "iban"])
def test_secrets_and_account_numbers_cannot_be_kept(kind: str) -> None:
    """A mistake in the configuration would send passwords."""
    for table in ({"keep": [kind]}, {"rules": [{"policy": "redacted", "keep": [kind]}]}):
        with pytest.raises(msgspec.ValidationError, match="never leaves"):
            msgspec.convert(table, EgressOptions)


@pytest.mark.parametrize(
    "table",
    [
        {"default": "none"},
        {"rules": [{}]},
        {"rules": [{"policy": "never", "tennants": []}]},
        {"keep": ["name"]},
    ],
)
def test_a_mistyped_table_is_refused(table: dict[str, Any]) -> None:
    """A rule with a mistyped condition would match everything or nothing."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, EgressOptions)


def test_rules_about_unknown_labels_are_refused() -> None:
    """The rule would never match, and nobody would notice."""
    known = EgressRule(policy="never", labels={"queue": ["cloud"]})
    Policy(EgressOptions(rules=[known])).check(LABELS)
    for labels in ({"que": ["cloud"]}, {"queue": ["clod"]}):
        unknown = EgressRule(policy="never", labels=labels)
        with pytest.raises(ConfigError, match="an egress rule names"):
            Policy(EgressOptions(rules=[unknown])).check(LABELS)


def test_after_any_error_the_event_is_not_sent() -> None:
    """The caller might catch the error and send the event."""
    broken = msgspec.structs.replace(triaged(), labels=None)
    rules = [EgressRule(policy="full", labels={"queue": ["cloud"]})]
    assert Policy(EgressOptions(default="full", rules=rules)).decision(broken).policy == "never"
    unknown: Any = "everything"
    assert Policy(EgressOptions(default=unknown)).decision(triaged()).policy == "never"


@pytest.mark.parametrize("region", ["us", "XX", "", "USA"])
def test_an_unknown_country_is_refused(region: str) -> None:
    """A misspelt code would turn off the detection of that country's telephone numbers."""
    with pytest.raises(msgspec.ValidationError, match="phone_regions names"):
        EgressOptions(phone_regions=["DE", region])


@pytest.mark.parametrize("condition", [{"tenants": ["bank"]}, {"sources": ["vault"]}])
def test_the_strictest_half_of_a_case_counts(condition: dict[str, list[str]]) -> None:
    """The text of a case would be sent because its other half names a harmless tenant."""
    options = msgspec.convert(
        {"default": "redacted", "rules": [{"policy": "never"} | condition]}, EgressOptions
    )
    policy = Policy(options)
    harmless, kept = triaged(), triaged(tenant="bank", source="vault")
    event = Event(id="e-1", kind="alert", text="x")
    kept_event = msgspec.structs.replace(event, tenant="bank", source="vault")
    assert policy.strictest(event, harmless) == EgressDecision("redacted")
    assert policy.strictest(kept_event, harmless).policy == "never"
    assert policy.strictest(event, kept).policy == "never"
    assert policy.strictest(event, harmless, kept).policy == "never"


def test_the_strictest_half_says_what_may_stay() -> None:
    """Addresses would be sent because one half of a case lets them out."""
    rules = [
        {"policy": "redacted", "tenants": ["acme"], "keep": ["email", "phone"]},
        {"policy": "redacted", "tenants": ["bank"], "keep": ["phone"]},
    ]
    policy = Policy(msgspec.convert({"rules": rules}, EgressOptions))
    event = Event(id="e-1", kind="alert", text="x", tenant="acme")
    assert policy.strictest(event, triaged(tenant="bank")).keep == {"phone"}
