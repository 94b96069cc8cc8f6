"""The egress policy: what may leave, and that doubt keeps it in."""

from typing import Any

import msgspec
import pytest

from inference.egress.options import EgressOptions, EgressRule
from inference.egress.policy import EgressDecision, Policy
from schemas.triaged import Alternative, Label
from tests.records import triaged

LABELS = {"queue": ["cloud", "identity"], "severity": ["low", "high"]}


def decision(
    rules: list[dict[str, Any]], *, default: str = "redacted", keep: Any = (), **changes: Any
) -> EgressDecision:
    """What a configuration decides about the usual event."""
    options = msgspec.convert(
        {"default": default, "keep": list(keep), "rules": rules}, EgressOptions
    )
    return Policy.of(options).decision(triaged(**changes))


def test_without_rules_events_are_redacted() -> None:
    """A fresh installation would send customers' data in clear."""
    assert Policy.of(EgressOptions()).decision(triaged()) == EgressDecision("redacted")


@pytest.mark.parametrize("default", ["never", "redacted", "full"])
def test_the_default_holds_where_no_rule_matches(default: str) -> None:
    """A tenant without a rule of its own would get another one's."""
    assert decision([{"policy": "never", "tenants": ["other"]}], default=default).policy == default


def test_the_strictest_of_the_matching_rules_wins() -> None:
    """The order of rules in a file would decide what leaves."""
    rules = [{"policy": "full"}, {"policy": "never", "domains": ["alerts"]}, {"policy": "redacted"}]
    for order in (rules, rules[::-1]):
        assert decision(order).policy == "never"
        assert decision(order, domain="tickets").policy == "redacted"


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
def test_a_condition_that_is_not_met_leaves_the_rule_out(
    condition: dict[str, Any], other: dict[str, Any]
) -> None:
    """A rule for one source would stop, or let out, the others."""
    rules = [{"policy": "never", **condition}]
    assert decision(rules, source="okta").policy == "never"
    assert decision(rules, **{"source": "okta"} | other).policy == "redacted"


def test_a_rule_needs_all_its_conditions() -> None:
    """`full` for one tenant's alerts would hold for everybody's."""
    rules = [{"policy": "full", "tenants": ["default"], "domains": ["tickets"]}]
    assert decision(rules).policy == "redacted"


UNSURE = Label(
    value="cloud",
    confidence=0.5,
    alternatives=[Alternative(value="identity", confidence=0.4)],
    abstained=True,
)


def test_a_rule_that_holds_back_is_met_by_an_alternative() -> None:
    """Events are escalated because the label is unsure: identity alerts would leave under a wrong first guess."""
    rules = [{"policy": "never", "labels": {"queue": ["identity"]}}]
    assert decision(rules, labels={"queue": UNSURE}).policy == "never"


def test_a_rule_that_lets_out_needs_the_label_to_be_sure() -> None:
    """A guess would open the door."""
    rules = [{"policy": "full", "labels": {"queue": ["cloud"]}}]
    assert decision(rules, labels={"queue": UNSURE}).policy == "redacted"
    assert decision(rules).policy == "full"
    kept = [{"policy": "redacted", "labels": {"queue": ["cloud"]}, "keep": ["ip"]}]
    assert decision(kept, labels={"queue": UNSURE}).keep == frozenset()
    assert decision(kept).keep == {"ip"}


def test_what_is_kept_is_what_all_winning_rules_keep() -> None:
    """One generous rule would undo a careful one."""
    rules = [
        {"policy": "redacted", "keep": ["ip", "host"]},
        {"policy": "redacted", "keep": ["ip", "mac"]},
    ]
    assert decision([*rules, {"policy": "full", "keep": []}], keep=["email"]).keep == {"ip"}
    assert decision([], keep=["email"]).keep == {"email"}


@pytest.mark.parametrize("kind", ["secret", "card", "ssn", "iban"])
def test_secrets_and_account_numbers_cannot_be_kept(kind: str) -> None:
    """A typing error in the configuration would send passwords."""
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


def test_rules_about_labels_nobody_gives_are_refused() -> None:
    """The rule would protect nothing and nobody would notice."""
    Policy.of(EgressOptions(rules=[EgressRule(policy="never", labels={"queue": ["cloud"]})])).check(
        LABELS
    )
    for labels in ({"que": ["cloud"]}, {"queue": ["clod"]}):
        with pytest.raises(ValueError, match="an egress rule names"):
            Policy.of(EgressOptions(rules=[EgressRule(policy="never", labels=labels)])).check(
                LABELS
            )


def test_whatever_goes_wrong_keeps_the_event_inside() -> None:
    """A policy that raises would be caught by somebody who sends."""
    broken = msgspec.structs.replace(triaged(), labels=None)
    rules = [EgressRule(policy="full", labels={"queue": ["cloud"]})]
    assert Policy.of(EgressOptions(default="full", rules=rules)).decision(broken).policy == "never"
    assert Policy.of(EgressOptions(default="everything")).decision(triaged()).policy == "never"  # type: ignore[arg-type]


@pytest.mark.parametrize("region", ["us", "XX", "", "USA"])
def test_an_unknown_country_is_refused(region: str) -> None:
    """A misspelt code would switch the detection of telephone numbers off."""
    with pytest.raises(msgspec.ValidationError, match="phone_regions names"):
        EgressOptions(phone_regions=["DE", region])
