"""Which product a link of its own console or API belongs to.

Only domains that nobody but the vendor uses are here. A document that links to its own alert or
ticket there comes from this product.
"""

import re

LINK_NAMES = ("url", "link", "href", "uri", "self")
"""The ends of the names of fields that hold a link."""

_HOST = re.compile(r"https?://(?:[^/@\s]*@)?([a-z0-9.-]{4,100})(?=[/:?#]|$)", re.IGNORECASE)
_NAMES_PAGE = re.compile(
    r"(?:alert|issue|incident|ticket|case|event|console|portal|app|web|html|workbench|detector|"
    r"monitor|check|log|perma|detection|finding|dashboard)\w{0,12}(?:url|link)$|permalink$|^self$"
)
# A link of this name may lead anywhere, so its host must be the one of an API or a console.
_NAMES_ANY = frozenset(("url", "link", "href", "uri"))
_OWN_HOSTS = ("api.", "app.", "console.", "portal.", "dashboard.", "cloud.")

_DOMAINS = {
    "appomni": "appomni.com",
    "asana": "asana.com",
    "axiom": "axiom.co",
    "bitbucket": "bitbucket.org",
    "cato": "catonetworks.com",
    "chatwoot": "chatwoot.com",
    "checkly": "checklyhq.com",
    "clickup": "clickup.com",
    "connectwise": "myconnectwise.net",
    "coralogix": "coralogix.com coralogix.in coralogix.us coralogixsg.com",
    "dash0": "dash0.com",
    "datadog": "datadoghq.com datadoghq.eu",
    "drata": "drata.com",
    "duo": "duosecurity.com",
    "dynatrace": "dynatrace.com",
    "easyvista": "easyvista.com",
    "expel": "expel.io",
    "extrahop": "extrahop.com",
    "freshdesk": "freshdesk.com",
    "freshservice": "freshservice.com",
    "front": "frontapp.com",
    "gitguardian": "gitguardian.com",
    "github": "github.com",
    "gitlab": "gitlab.com",
    "gorgias": "gorgias.com",
    "grafana": "grafana.net",
    "helpscout": "helpscout.net",
    "honeycomb": "honeycomb.io",
    "huntress": "huntress.io",
    "incident-io": "incident.io",
    "intercom": "intercom.io intercom.com",
    "jamf": "jamfcloud.com",
    "jumpcloud": "jumpcloud.com",
    "kustomer": "kustomerapp.com",
    "lacework": "lacework.net",
    "linear": "linear.app",
    "lookout": "lookout.com",
    "monday": "monday.com",
    "mongodb-atlas": "mongodb.com",
    "netskope": "netskope.com goskope.com",
    "newrelic": "newrelic.com",
    "onelogin": "onelogin.com",
    "opsgenie": "opsgenie.com",
    "opsramp": "opsramp.com",
    "orca": "orcasecurity.io",
    "pagerduty": "pagerduty.com",
    "pipedrive": "pipedrive.com",
    "postmark": "postmarkapp.com",
    "prisma-cloud": "prismacloud.io",
    "proofpoint": "proofpoint.com",
    "push-security": "pushsecurity.com",
    "red-canary": "redcanary.com",
    "rollbar": "rollbar.com",
    "salesforce": "salesforce.com",
    "securityscorecard": "securityscorecard.io",
    "sekoia": "sekoia.io",
    "semgrep": "semgrep.dev",
    "sentinelone": "sentinelone.net",
    "sentry": "sentry.io",
    "servicenow": "service-now.com",
    "shortcut": "shortcut.com",
    "signalfx": "signalfx.com",
    "site24x7": "site24x7.com",
    "snyk": "snyk.io",
    "socradar": "socradar.com",
    "solarwinds-service-desk": "samanage.com",
    "splunk-oncall": "victorops.com",
    "statuscake": "statuscake.com",
    "sumologic": "sumologic.com",
    "sysdig": "sysdig.com",
    "taegis": "taegis.secureworks.com",
    "tailscale": "tailscale.com",
    "tenable": "tenable.com",
    "thousandeyes": "thousandeyes.com",
    "threatstack": "threatstack.com",
    "tines": "tines.com",
    "todoist": "todoist.com",
    "topdesk": "topdesk.net",
    "tracebit": "tracebit.com",
    "trello": "trello.com",
    "twilio": "twilio.com",
    "upwind": "upwind.io",
    "vectra": "vectra.ai",
    "wiz": "wiz.io",
    "zendesk": "zendesk.com",
    "zenduty": "zenduty.com",
    "zoho-desk": "zoho.com",
}
_PRODUCTS = {domain: product for product, all_of in _DOMAINS.items() for domain in all_of.split()}


def product_of(name: str, link: object) -> str | None:
    """The product that a link of a document belongs to; None if that is not sure.

    Args:
        name: the name of the field in small letters, without what stands between its words.
        link: its value.
    """
    if not isinstance(link, str) or not name.endswith(LINK_NAMES):
        return None
    match = _HOST.match(link)
    if match is None:
        return None
    host = match[1].lower()
    if name in _NAMES_ANY:
        if not host.startswith(_OWN_HOSTS) and "/api/" not in link[:200]:
            return None
    elif not _NAMES_PAGE.search(name):
        return None
    labels = host.split(".")
    return _PRODUCTS.get(".".join(labels[-2:])) or _PRODUCTS.get(".".join(labels[-3:]))
