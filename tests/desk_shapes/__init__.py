"""A plain ticket as help desks, trackers and mail services send it.

Each shape writes the words of a ticket into a document as the product has it: with agents, avatars,
links, custom fields and tags around them, and with the text as HTML or as a rich text document if
the product does that. A reader must find the same words in all of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.desk_shapes.desks import (
    freshdesk_ticket,
    freshdesk_webhook,
    freshservice_ticket,
    osticket_new,
    otrs_ticket,
    zammad_webhook,
    zendesk_event,
    zendesk_ticket,
    zendesk_trigger,
)
from tests.desk_shapes.inboxes import (
    front_event,
    gorgias_ticket,
    graph_mail,
    helpscout_conversation,
    mailgun_mail,
    postmark_mail,
    sendgrid_mail,
    zoho_desk_event,
)
from tests.desk_shapes.messengers import (
    crisp_message,
    discord_message,
    intercom_conversation,
    intercom_reply,
    intercom_webhook,
    slack_event,
    teams_message,
    typeform_response,
)
from tests.desk_shapes.service_desks import (
    hubspot_ticket,
    jira_service_request,
    jira_v2,
    jira_v3,
    jira_webhook,
    salesforce_case,
    servicenow_display,
    servicenow_record,
)
from tests.desk_shapes.trackers import (
    asana_task,
    azure_devops_item,
    github_issue,
    github_webhook,
    gitlab_webhook,
    linear_webhook,
    redmine_issue,
    trello_card,
)
from tests.desk_shapes.words import Ticket

__all__ = ["SHAPES", "Shape", "Ticket"]


class Shape(NamedTuple):
    """How a product writes a ticket, and the id that the ticket has there.

    `id` is a format string for the number. `has_title` says whether the product has a title at all.
    """

    document: Callable[[Ticket], Any]
    id: str
    has_title: bool = True

    def expected_id(self, ticket: Ticket) -> str:
        """The id of the event that is read from `document(ticket)`."""
        return self.id.format(number=ticket.number)


SHAPES: dict[str, Shape] = {
    "zendesk-event": Shape(zendesk_event, "{number}"),
    "zendesk-ticket": Shape(zendesk_ticket, "{number}"),
    "zendesk-trigger": Shape(zendesk_trigger, "{number}"),
    "jira-webhook": Shape(jira_webhook, "KAN-{number}"),
    "jira-issue v2": Shape(jira_v2, "KAN-{number}"),
    "jira-issue v3": Shape(jira_v3, "KAN-{number}"),
    "jira-service-request": Shape(jira_service_request, "ITSM-{number}"),
    "servicenow-record": Shape(servicenow_record, "INC{number:07}"),
    "servicenow-record display": Shape(servicenow_display, "INC{number:07}"),
    "freshdesk-webhook": Shape(freshdesk_webhook, "{number}"),
    "freshdesk-ticket": Shape(freshdesk_ticket, "{number}"),
    "freshservice-ticket": Shape(freshservice_ticket, "{number}"),
    "intercom-conversation-webhook": Shape(intercom_webhook, "{number}"),
    "intercom-conversation-webhook reply": Shape(intercom_reply, "{number}"),
    "intercom-conversation": Shape(intercom_conversation, "{number}"),
    "hubspot-ticket": Shape(hubspot_ticket, "{number}"),
    "salesforce-case": Shape(salesforce_case, "{number:08}"),
    "github-issue-webhook": Shape(github_webhook, "acme/shop#{number}"),
    "github-issue": Shape(github_issue, "https://github.com/acme/shop/issues/{number}"),
    "gitlab-issue-webhook": Shape(gitlab_webhook, "acme/shop#{number}"),
    "zammad-webhook": Shape(zammad_webhook, "31{number:03}"),
    "osticket-new-ticket": Shape(osticket_new, "{number}"),
    "front-event": Shape(front_event, "cnv_{number}"),
    "helpscout-conversation": Shape(helpscout_conversation, "{number}"),
    "slack-event": Shape(slack_event, "C123ABC456-1935482400.{number:06}", has_title=False),
    "teams-graph-message": Shape(teams_message, "{number}"),
    "discord-message": Shape(discord_message, "", has_title=False),
    "postmark-inbound": Shape(postmark_mail, "22c74902-a0c1-4511-804f-{number:012}"),
    "sendgrid-inbound": Shape(sendgrid_mail, ""),
    "mailgun-inbound": Shape(mailgun_mail, "<{number}.mailgun@example.com>"),
    "microsoft-graph-mail": Shape(graph_mail, "<{number}.graph@example.com>"),
    "zoho-desk-ticket-event": Shape(zoho_desk_event, "{number}"),
    "gorgias-ticket": Shape(gorgias_ticket, "{number}"),
    "crisp-message": Shape(crisp_message, "session_{number:012}", has_title=False),
    "linear-issue-webhook": Shape(linear_webhook, "SUP-{number}"),
    "asana-task": Shape(asana_task, ""),
    "trello-card": Shape(trello_card, "card{number}"),
    "azure-devops-work-item": Shape(azure_devops_item, "{number}"),
    "redmine-issue": Shape(redmine_issue, "{number}"),
    "otrs-ticket": Shape(otrs_ticket, "2031050210{number:06}"),
    "typeform-response": Shape(
        typeform_response, "a3a12ec67a1365927098a606107fac{number}", has_title=False
    ),
}
"""Shapes by the name of the format that reads them; after a space, which of its shapes it is."""
