"""A plain ticket as help desks, trackers and mail services send it.

Each shape writes the words of a ticket into a document as the product has it: with agents, avatars,
links, custom fields and tags around them, and with the text as HTML or as a rich text document where
the product does that. A reader must find the same words in all of them.
"""

import base64
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

CREATED, UPDATED = "2031-05-02T10:00:00Z", "2031-05-02T10:05:00Z"
CREATED_S, UPDATED_S = 1935482400, 1935482700

Json = dict[str, Any]


class Ticket(NamedTuple):
    """The words of a ticket, and its number in the desk. A chat has no title."""

    number: int
    title: str | None
    body: str


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


def html(text: str) -> str:
    """A text as the paragraphs of an HTML fragment."""
    paragraphs = [escape(part).replace("\n", "<br>") for part in text.split("\n\n")]
    return "".join(f"<p>{part}</p>" for part in paragraphs)


def mail_html(text: str) -> str:
    """A text as a mail program writes it: a complete page with styles."""
    return (
        '<html><head><meta charset="utf-8"><style>p.MsoNormal{margin:0cm;font-size:11.0pt}</style>'
        f'</head><body lang="EN-GB"><div class="WordSection1">{html(text)}</div></body></html>'
    )


def adf(text: str) -> Json:
    """A text as a rich text document of Atlassian: paragraphs, line breaks, marks."""
    return {
        "type": "doc",
        "version": 1,
        "content": [
            {"type": "paragraph", "content": _adf_lines(part)} for part in text.split("\n\n")
        ],
    }


def _adf_lines(paragraph: str) -> list[Json]:
    nodes: list[Json] = []
    for number, line in enumerate(paragraph.split("\n")):
        if number:
            nodes.append({"type": "hardBreak"})
        if line:
            nodes.append({"type": "text", "text": line, "marks": [{"type": "em"}]})
    return nodes


def zendesk_event(ticket: Ticket) -> Json:
    """An event subscription; details are written in capitals."""
    return {
        "account_id": 22129848,
        "detail": {
            "actor_id": "8447388090494",
            "assignee_id": "8447388090494",
            "brand_id": "8447346621310",
            "created_at": CREATED,
            "custom_status": "8447320465790",
            "description": ticket.body,
            "external_id": None,
            "form_id": "8646151517822",
            "group_id": "8447320466430",
            "id": str(ticket.number),
            "is_public": True,
            "organization_id": "8447346622462",
            "priority": "NORMAL",
            "requester_id": "8447388090495",
            "status": "OPEN",
            "subject": ticket.title,
            "submitter_id": "8447388090494",
            "tags": ["vip", "web_widget"],
            "type": "INCIDENT",
            "updated_at": UPDATED,
            "via": {"channel": "web_service"},
        },
        "event": {"meta": {"sequence": {"id": "01HZ9W2FJ4", "position": 1, "total": 1}}},
        "id": "cbe4028c-7239-495d-b020-f22348516046",
        "subject": f"zen:ticket:{ticket.number}",
        "time": UPDATED,
        "type": "zen:event-type:ticket.created",
        "zendesk_event_version": "2022-11-06",
    }


def zendesk_ticket(ticket: Ticket) -> Json:
    """A ticket of the API."""
    return {
        "url": f"https://example.zendesk.com/api/v2/tickets/{ticket.number}.json",
        "id": ticket.number,
        "external_id": None,
        "via": {
            "channel": "email",
            "source": {
                "from": {"address": "dana@example.com", "name": "Dana Example"},
                "to": {"name": "Example Support", "address": "support@example.com"},
                "rel": None,
            },
        },
        "created_at": CREATED,
        "updated_at": UPDATED,
        "type": "question",
        "subject": ticket.title,
        "raw_subject": ticket.title,
        "description": ticket.body,
        "priority": "high",
        "status": "open",
        "recipient": "support@example.com",
        "requester_id": 20978392,
        "submitter_id": 76872,
        "assignee_id": 235323,
        "organization_id": 509974,
        "group_id": 98738,
        "collaborator_ids": [35334, 234],
        "follower_ids": [35334],
        "email_cc_ids": [],
        "problem_id": None,
        "has_incidents": False,
        "is_public": True,
        "due_at": None,
        "tags": ["enterprise", "other_tag"],
        "custom_fields": [{"id": 27642, "value": "745"}, {"id": 27648, "value": "yes"}],
        "satisfaction_rating": {"score": "unoffered"},
        "sharing_agreement_ids": [],
        "ticket_form_id": 8646151517822,
        "brand_id": 8447346621310,
        "allow_channelback": False,
    }


def zendesk_trigger(ticket: Ticket) -> Json:
    """The body of a webhook as a trigger's author fills it with placeholders."""
    return {
        "ticket": {
            "id": str(ticket.number),
            "title": ticket.title,
            "description": ticket.body,
            "url": f"example.zendesk.com/agent/tickets/{ticket.number}",
            "status": "New",
            "priority": "Normal",
            "via": "Mail",
            "tags": "vip card",
            "created_at_with_timestamp": CREATED,
            "requester": {"name": "Dana Example", "email": "dana@example.com"},
            "assignee": {"name": "Robin Agent"},
        },
        "current_user": {"name": "Robin Agent"},
    }


def _jira_user(name: str) -> Json:
    avatar = "https://secure.gravatar.example/avatar/25e5cc68b1a5228c32a588ebb6204683?d=https%3A%2F"
    return {
        "self": "https://example.atlassian.net/rest/api/2/user?accountId=5a1b0e47748e770ed11f338c",
        "accountId": "5a1b0e47748e770ed11f338c",
        "avatarUrls": {size: f"{avatar}&s={size}" for size in ("48x48", "24x24", "16x16", "32x32")},
        "displayName": name,
        "active": True,
        "timeZone": "Europe/Berlin",
        "accountType": "atlassian",
    }


def _jira_fields(ticket: Ticket, description: Any) -> Json:
    base = "https://example.atlassian.net"
    return {
        "statuscategorychangedate": "2031-05-02T10:00:00.000+0000",
        "issuetype": {
            "self": f"{base}/rest/api/2/issuetype/10001",
            "id": "10001",
            "description": "A small, distinct piece of work.",
            "iconUrl": f"{base}/secure/viewavatar?size=medium&avatarId=10318",
            "name": "Task",
            "subtask": False,
        },
        "project": {
            "self": f"{base}/rest/api/2/project/10000",
            "id": "10000",
            "key": "KAN",
            "name": "Customer operations",
            "projectTypeKey": "software",
            "avatarUrls": {"48x48": f"{base}/secure/projectavatar?avatarId=10324"},
        },
        "summary": ticket.title,
        "description": description,
        "priority": {
            "self": f"{base}/rest/api/2/priority/3",
            "iconUrl": f"{base}/images/icons/priorities/medium.svg",
            "name": "Medium",
            "id": "3",
        },
        "status": {
            "self": f"{base}/rest/api/2/status/10000",
            "description": "",
            "iconUrl": f"{base}/",
            "name": "To Do",
            "id": "10000",
            "statusCategory": {"id": 2, "key": "new", "colorName": "blue-gray", "name": "To Do"},
        },
        "labels": [],
        "components": [],
        "reporter": _jira_user("Dana Example"),
        "creator": _jira_user("Dana Example"),
        "assignee": None,
        "created": "2031-05-02T10:00:00.000+0000",
        "updated": "2031-05-02T10:05:00.000+0000",
        "customfield_10019": "0|i0007b:",
        "customfield_10021": None,
        "comment": {"comments": [], "maxResults": 0, "total": 0, "startAt": 0},
        "attachment": [],
        "votes": {"votes": 0, "hasVoted": False},
        "watches": {"watchCount": 1, "isWatching": True},
    }


def _jira_issue(ticket: Ticket, description: Any) -> Json:
    return {
        "expand": "renderedFields,names,schema,operations,editmeta,changelog",
        "id": "10021",
        "self": "https://example.atlassian.net/rest/api/2/issue/10021",
        "key": f"KAN-{ticket.number}",
        "fields": _jira_fields(ticket, description),
    }


def jira_webhook(ticket: Ticket) -> Json:
    """A webhook: the description is a text."""
    return {
        "timestamp": UPDATED_S * 1000,
        "webhookEvent": "jira:issue_created",
        "issue_event_type_name": "issue_created",
        "user": _jira_user("Dana Example"),
        "issue": _jira_issue(ticket, ticket.body),
        "changelog": {
            "id": "10146",
            "items": [{"field": "status", "fieldtype": "jira", "toString": "To Do"}],
        },
    }


def jira_v2(ticket: Ticket) -> Json:
    """An issue of the REST API v2."""
    return _jira_issue(ticket, ticket.body)


def jira_v3(ticket: Ticket) -> Json:
    """An issue of the REST API v3: the description is a rich text document."""
    return _jira_issue(ticket, adf(ticket.body))


def jira_service_request(ticket: Ticket) -> Json:
    """A customer request of Jira Service Management."""
    return {
        "_expands": ["participant", "status", "sla", "requestType", "serviceDesk"],
        "issueId": "10107",
        "issueKey": f"ITSM-{ticket.number}",
        "requestTypeId": "25",
        "serviceDeskId": "10",
        "createdDate": {
            "iso8601": "2031-05-02T12:00:00+0200",
            "jira": "2031-05-02T12:00:00.000+0200",
            "friendly": "Today 12:00 PM",
            "epochMillis": CREATED_S * 1000,
        },
        "reporter": _jira_user("Dana Example"),
        "requestFieldValues": [
            {"fieldId": "summary", "label": "What do you need?", "value": ticket.title},
            {
                "fieldId": "description",
                "label": "Why do you need this?",
                "value": ticket.body,
                "renderedValue": {"html": html(ticket.body)},
            },
            {
                "fieldId": "priority",
                "label": "Priority",
                "value": {"self": "https://example.atlassian.net/x", "name": "High", "id": "2"},
            },
        ],
        "currentStatus": {
            "status": "Waiting for support",
            "statusCategory": "NEW",
            "statusDate": {"epochMillis": CREATED_S * 1000, "friendly": "Today 12:00 PM"},
        },
        "_links": {
            "jiraRest": "https://example.atlassian.net/rest/api/2/issue/10107",
            "web": f"https://example.atlassian.net/servicedesk/customer/portal/10/ITSM-{ticket.number}",
            "agent": f"https://example.atlassian.net/browse/ITSM-{ticket.number}",
            "self": "https://example.atlassian.net/rest/servicedeskapi/request/10107",
        },
    }


def servicenow_record(ticket: Ticket) -> Json:
    """A row of the table API."""
    reference = "https://example.service-now.com/api/now/table/sys_user/681ccaf9c0a8016400b98a06818d57c7"
    return {
        "parent": "",
        "made_sla": "true",
        "caused_by": "",
        "upon_reject": "cancel",
        "sys_updated_on": "2031-05-02 10:05:00",
        "child_incidents": "0",
        "number": f"INC{ticket.number:07}",
        "sys_updated_by": "admin",
        "opened_by": {"link": reference, "value": "681ccaf9c0a8016400b98a06818d57c7"},
        "sys_created_on": "2031-05-02 10:00:00",
        "sys_domain": {"link": f"{reference}/global", "value": "global"},
        "state": "1",
        "sys_created_by": "employee",
        "knowledge": "false",
        "impact": "2",
        "active": "true",
        "priority": "3",
        "business_duration": "",
        "short_description": ticket.title,
        "description": ticket.body,
        "work_notes": "",
        "comments": "",
        "caller_id": {"link": reference, "value": "681ccaf9c0a8016400b98a06818d57c7"},
        "assignment_group": {"link": reference, "value": "d625dccec0a8016700a222a0f7900d06"},
        "assigned_to": "",
        "urgency": "2",
        "severity": "3",
        "category": "inquiry",
        "subcategory": "",
        "contact_type": "email",
        "sys_class_name": "incident",
        "sys_id": "1c741bd70b2322007518478d83673af3",
        "incident_state": "1",
        "escalation": "0",
        "sys_tags": "",
    }


def servicenow_display(ticket: Ticket) -> Json:
    """A row of the table API in which each field has a value and a display value."""
    shown = {"priority": "3 - Moderate", "state": "New", "sys_updated_on": "2031-05-02 12:05:00"}
    return {
        "result": {
            field: {"display_value": shown.get(field, value), "value": value}
            for field, value in servicenow_record(ticket).items()
            if isinstance(value, str | None)
        }
    }


def freshdesk_webhook(ticket: Ticket) -> Json:
    """The webhook of an automation, with all fields that it offers."""
    return {
        "freshdesk_webhook": {
            "ticket_id": ticket.number,
            "ticket_subject": ticket.title,
            "ticket_description": f"<div>{html(ticket.body)}</div>",
            "ticket_url": f"https://example.freshdesk.com/helpdesk/tickets/{ticket.number}",
            "ticket_public_url": "https://example.freshdesk.com/public/tickets/0f1e2d3c",
            "ticket_portal_url": f"https://example.freshdesk.com/support/tickets/{ticket.number}",
            "ticket_due_by_time": "May 05 2031 at 10:00 AM",
            "ticket_tags": "vip",
            "ticket_latest_public_comment": "",
            "ticket_latest_private_comment": "",
            "ticket_group_name": "Support",
            "ticket_agent_name": "Robin Agent",
            "ticket_agent_email": "robin@example.com",
            "ticket_status": "Open",
            "ticket_priority": "Urgent",
            "ticket_source": "Email",
            "ticket_type": "Question",
            "ticket_requester_name": "Dana Example",
            "ticket_requester_email": "dana@example.com",
            "triggered_event": "{ticket_action:created}",
        }
    }


def freshdesk_ticket(ticket: Ticket) -> Json:
    """A ticket of the API."""
    return {
        "cc_emails": [],
        "fwd_emails": [],
        "reply_cc_emails": [],
        "ticket_cc_emails": [],
        "fr_escalated": False,
        "spam": False,
        "email_config_id": 2000048035,
        "group_id": None,
        "priority": 4,
        "requester_id": 43028420817,
        "responder_id": 43028420818,
        "source": 1,
        "company_id": None,
        "status": 2,
        "subject": ticket.title,
        "association_type": None,
        "support_email": "support@example.com",
        "to_emails": ["support@example.com"],
        "product_id": None,
        "id": ticket.number,
        "type": "Question",
        "due_by": "2031-05-05T10:00:00Z",
        "fr_due_by": "2031-05-03T10:00:00Z",
        "is_escalated": False,
        "description": f"<div>{html(ticket.body)}</div>",
        "description_text": ticket.body,
        "custom_fields": {"cf_order_number": None, "cf_channel": "web"},
        "created_at": CREATED,
        "updated_at": UPDATED,
        "tags": ["vip"],
        "attachments": [],
    }


def freshservice_ticket(ticket: Ticket) -> Json:
    """A ticket of the API, in its object."""
    return {
        "ticket": {
            "subject": ticket.title,
            "group_id": 19000117203,
            "department_id": None,
            "category": None,
            "sub_category": None,
            "item_category": None,
            "requester_id": 19000839481,
            "requested_for_id": 19000839481,
            "responder_id": None,
            "due_by": "2031-05-05T10:00:00Z",
            "fr_escalated": False,
            "deleted": False,
            "spam": False,
            "email_config_id": None,
            "fwd_emails": [],
            "reply_cc_emails": [],
            "cc_emails": [],
            "is_escalated": False,
            "fr_due_by": "2031-05-03T10:00:00Z",
            "id": ticket.number,
            "priority": 3,
            "status": 2,
            "source": 1,
            "created_at": CREATED,
            "updated_at": UPDATED,
            "workspace_id": 2,
            "requester": {"id": 19000839481, "name": "Dana Example", "email": "dana@example.com"},
            "type": "Incident",
            "description": f"<div>{html(ticket.body)}</div>",
            "description_text": ticket.body,
            "custom_fields": {"major_incident_type": None},
            "tags": [],
            "attachments": [],
        }
    }


def _intercom_author(kind: str, name: str) -> Json:
    return {
        "type": kind,
        "id": "5c9553cb27e377f24eed49f7",
        "name": name,
        "email": f"{name.split()[0].lower()}@example.com",
    }


def _intercom_parts(*parts: tuple[str, str, str]) -> Json:
    return {
        "type": "conversation_part.list",
        "conversation_parts": [
            {
                "type": "conversation_part",
                "id": str(2824391734 + number),
                "part_type": "comment",
                "body": body,
                "created_at": CREATED_S + number,
                "updated_at": CREATED_S + number,
                "notified_at": CREATED_S + number,
                "assigned_to": None,
                "author": _intercom_author(kind, name),
                "attachments": [],
                "external_id": None,
                "redacted": False,
            }
            for number, (kind, name, body) in enumerate(parts)
        ],
        "total_count": len(parts),
    }


def _intercom_conversation(ticket: Ticket) -> Json:
    return {
        "type": "conversation",
        "id": str(ticket.number),
        "created_at": CREATED_S,
        "updated_at": UPDATED_S,
        "waiting_since": CREATED_S,
        "snoozed_until": None,
        "source": {
            "type": "conversation",
            "id": "331494375",
            "delivered_as": "customer_initiated",
            "subject": html(ticket.title) if ticket.title else "",
            "body": html(ticket.body),
            "author": _intercom_author("user", "Dana Example"),
            "attachments": [],
            "url": "https://www.example.com/pricing?utm_source=newsletter",
            "redacted": False,
        },
        "contacts": {
            "type": "contact.list",
            "contacts": [{"type": "contact", "id": "5c9553cb27e377f24eed49f7"}],
        },
        "first_contact_reply": {"created_at": CREATED_S, "type": "conversation"},
        "admin_assignee_id": 1957471,
        "team_assignee_id": None,
        "open": True,
        "state": "open",
        "read": True,
        "tags": {"type": "tag.list", "tags": []},
        "priority": "not_priority",
        "statistics": {"type": "conversation_statistics", "count_assignments": 0},
        "title": None,
        "custom_attributes": {"Language": "English"},
        "conversation_parts": _intercom_parts(),
    }


def intercom_webhook(ticket: Ticket) -> Json:
    """The webhook of a new conversation."""
    item = _intercom_conversation(ticket)
    web = f"https://app.intercom.com/a/apps/i6wc9ipe/conversations/{ticket.number}"
    return {
        "type": "notification_event",
        "app_id": "i6wc9ipe",
        "data": {
            "type": "notification_event_data",
            "item": {**item, "links": {"conversation_web": web}},
        },
        "links": {},
        "id": "notif_3ac27816-d27c-45fd-a65a-bbaf021cf780",
        "topic": "conversation.user.created",
        "delivery_status": "pending",
        "delivery_attempts": 1,
        "delivered_at": 0,
        "first_sent_at": UPDATED_S,
        "created_at": UPDATED_S,
        "self": None,
    }


def intercom_reply(ticket: Ticket) -> Json:
    """The webhook of a reply: what the customer wrote first is still in it."""
    document = intercom_webhook(ticket)
    item = document["data"]["item"]
    item["source"]["body"] = "<p>Hello, is anybody there?</p>"
    item["conversation_parts"] = _intercom_parts(
        ("admin", "Robin Agent", "<p>Hi Dana! How can we help you today?</p>"),
        ("user", "Dana Example", html(ticket.body)),
    )
    return {**document, "topic": "conversation.user.replied"}


def intercom_conversation(ticket: Ticket) -> Json:
    """A conversation of the API."""
    return _intercom_conversation(ticket)


def hubspot_ticket(ticket: Ticket) -> Json:
    """A ticket of the CRM."""
    return {
        "id": str(ticket.number),
        "properties": {
            "content": ticket.body,
            "createdate": "2031-05-02T10:00:00.000Z",
            "hs_lastmodifieddate": "2031-05-02T10:05:00.000Z",
            "hs_object_id": str(ticket.number),
            "hs_pipeline": "0",
            "hs_pipeline_stage": "1",
            "hs_ticket_category": None,
            "hs_ticket_priority": "MEDIUM",
            "source_type": "EMAIL",
            "subject": ticket.title or "",
        },
        "createdAt": "2031-05-02T10:00:00.000Z",
        "updatedAt": "2031-05-02T10:05:00.000Z",
        "archived": False,
        "url": f"https://app.hubspot.com/contacts/123456/record/0-5/{ticket.number}",
    }


def salesforce_case(ticket: Ticket) -> Json:
    """A case of the REST API."""
    return {
        "attributes": {
            "type": "Case",
            "url": "/services/data/v61.0/sobjects/Case/5003t00001XqR2mAAF",
        },
        "Id": "5003t00001XqR2mAAF",
        "IsDeleted": False,
        "CaseNumber": f"{ticket.number:08}",
        "ContactId": "0033t00003GqU0tAAF",
        "AccountId": "0013t00002Yb0sDAAR",
        "SuppliedName": "Dana Example",
        "SuppliedEmail": "dana@example.com",
        "Type": "Question",
        "Status": "New",
        "Reason": None,
        "Origin": "Email",
        "Subject": ticket.title,
        "Priority": "Medium",
        "Description": ticket.body,
        "IsClosed": False,
        "ClosedDate": None,
        "IsEscalated": False,
        "OwnerId": "0053t000008gXY2AAM",
        "CreatedDate": "2031-05-02T10:00:00.000+0000",
        "LastModifiedDate": "2031-05-02T10:05:00.000+0000",
        "acme__Order_Number__c": None,
        "acme__Region__c": "EMEA",
    }


def _github_user(name: str) -> Json:
    return {
        "login": name,
        "id": 21031067,
        "node_id": "MDQ6VXNlcjIxMDMxMDY3",
        "avatar_url": "https://avatars.githubusercontent.com/u/21031067?v=4",
        "gravatar_id": "",
        "url": f"https://api.github.com/users/{name}",
        "html_url": f"https://github.com/{name}",
        "type": "User",
        "site_admin": False,
    }


def github_issue(ticket: Ticket) -> Json:
    """An issue of the API."""
    api = "https://api.github.com/repos/acme/shop"
    return {
        "url": f"{api}/issues/{ticket.number}",
        "repository_url": api,
        "labels_url": f"{api}/issues/{ticket.number}/labels{{/name}}",
        "comments_url": f"{api}/issues/{ticket.number}/comments",
        "html_url": f"https://github.com/acme/shop/issues/{ticket.number}",
        "id": 444500041,
        "node_id": "MDU6SXNzdWU0NDQ1MDAwNDE=",
        "number": ticket.number,
        "title": ticket.title,
        "user": _github_user("dana"),
        "labels": [
            {"id": 1362934389, "name": "question", "color": "d73a4a", "default": True},
        ],
        "state": "open",
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": 0,
        "created_at": CREATED,
        "updated_at": UPDATED,
        "closed_at": None,
        "author_association": "NONE",
        "active_lock_reason": None,
        "body": ticket.body,
        "reactions": {"total_count": 0, "+1": 0, "-1": 0},
        "state_reason": None,
    }


def github_webhook(ticket: Ticket) -> Json:
    """The webhook of an issue."""
    return {
        "action": "opened",
        "issue": github_issue(ticket),
        "repository": {
            "id": 186853002,
            "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
            "name": "shop",
            "full_name": "acme/shop",
            "private": False,
            "owner": _github_user("acme"),
            "html_url": "https://github.com/acme/shop",
            "description": "The shop and everything that is sold in it",
            "default_branch": "main",
        },
        "sender": _github_user("dana"),
    }


def gitlab_webhook(ticket: Ticket) -> Json:
    """The webhook of an issue."""
    return {
        "object_kind": "issue",
        "event_type": "issue",
        "user": {
            "id": 1,
            "name": "Dana Example",
            "username": "dana",
            "avatar_url": "https://secure.gravatar.example/avatar/1e00d93acdfd?s=80&d=identicon",
        },
        "project": {
            "id": 8427506,
            "name": "Shop",
            "description": "",
            "web_url": "https://gitlab.example.com/acme/shop",
            "path_with_namespace": "acme/shop",
            "default_branch": "main",
        },
        "object_attributes": {
            "author_id": 1102929,
            "closed_at": None,
            "confidential": False,
            "created_at": "2031-05-02 10:00:00 UTC",
            "description": ticket.body,
            "due_date": None,
            "id": 14226169,
            "iid": ticket.number,
            "last_edited_at": None,
            "milestone_id": None,
            "project_id": 8427506,
            "severity": "unknown",
            "state": "opened",
            "title": ticket.title,
            "type": "Issue",
            "updated_at": "2031-05-02 10:05:00 UTC",
            "url": f"https://gitlab.example.com/acme/shop/-/issues/{ticket.number}",
            "action": "open",
            "labels": [],
        },
        "labels": [],
        "changes": {"title": {"previous": None, "current": ticket.title}},
        "repository": {"name": "Shop", "homepage": "https://gitlab.example.com/acme/shop"},
    }


def _zammad_user(name: str, role: str) -> Json:
    return {
        "id": 3,
        "login": "dana@example.com",
        "firstname": name,
        "lastname": "Example",
        "email": "dana@example.com",
        "image": "7a6a0d1d94ad2037153cf3a6c1b49a53",
        "organization": "Example Ltd",
        "roles": [role],
        "active": True,
        "vip": False,
    }


def zammad_webhook(ticket: Ticket) -> Json:
    """The webhook of a ticket with its newest article."""
    return {
        "ticket": {
            "id": 81,
            "group_id": 1,
            "priority_id": 2,
            "state_id": 1,
            "number": f"{31000 + ticket.number}",
            "title": ticket.title,
            "owner_id": 1,
            "customer_id": 3,
            "note": None,
            "article_count": 1,
            "create_article_type": "email",
            "create_article_sender": "Customer",
            "escalation_at": None,
            "created_at": "2031-05-02T10:00:00.000Z",
            "updated_at": "2031-05-02T10:05:00.000Z",
            "article_ids": [104],
            "group": {"id": 1, "name": "Users", "email_address_id": 1, "active": True},
            "priority": {"id": 2, "name": "2 normal", "default_create": True, "active": True},
            "state": {"id": 1, "name": "new", "state_type_id": 1, "active": True},
            "customer": _zammad_user("Dana", "Customer"),
            "owner": _zammad_user("-", "Agent"),
            "tags": [],
        },
        "article": {
            "id": 104,
            "ticket_id": 81,
            "from": "Dana Example <dana@example.com>",
            "to": "support@example.com",
            "cc": None,
            "subject": ticket.title,
            "message_id": "<m1@example.com>",
            "content_type": "text/html",
            "body": html(ticket.body),
            "internal": False,
            "sender": "Customer",
            "type": "email",
            "created_at": "2031-05-02T10:05:00.000Z",
            "created_by": _zammad_user("Dana", "Customer"),
            "attachments": [],
            "preferences": {},
        },
    }


def osticket_new(ticket: Ticket) -> Json:
    """A ticket on its way into osTicket."""
    return {
        "alert": True,
        "autorespond": True,
        "source": "API",
        "number": str(ticket.number),
        "name": "Dana Example",
        "email": "dana@example.com",
        "phone": "3185558634X123",
        "subject": ticket.title or "",
        "ip": "192.0.2.4",
        "message": ticket.body,
        "topicId": 1,
        "attachments": [],
    }


def _front_message(ticket: Ticket) -> Json:
    return {
        "_links": {"self": "https://example.api.frontapp.com/messages/msg_1176r8y"},
        "id": "msg_1176r8y",
        "type": "email",
        "is_inbound": True,
        "created_at": UPDATED_S,
        "blurb": ticket.body[:40],
        "body": html(ticket.body),
        "text": ticket.body,
        "metadata": {},
        "author": None,
        "recipients": [
            {"handle": "dana@example.com", "role": "from", "name": "Dana Example"},
            {"handle": "support@example.com", "role": "to"},
        ],
        "attachments": [],
        "is_draft": False,
        "error_type": None,
    }


def front_event(ticket: Ticket) -> Json:
    """The event of a message that came in."""
    return {
        "_links": {"self": "https://example.api.frontapp.com/events/evt_28duo2q"},
        "id": "evt_28duo2q",
        "type": "inbound",
        "emitted_at": UPDATED_S,
        "conversation": {
            "_links": {"self": f"https://example.api.frontapp.com/conversations/cnv_{ticket.number}"},
            "id": f"cnv_{ticket.number}",
            "subject": ticket.title,
            "status": "unassigned",
            "assignee": None,
            "recipient": {"handle": "dana@example.com", "role": "from"},
            "tags": [],
            "last_message": _front_message(ticket),
            "created_at": CREATED_S,
            "is_private": False,
        },
        "source": {
            "_meta": {"type": "inboxes"},
            "data": [{"id": "inb_6j96", "name": "Support", "is_private": False}],
        },
        "target": {"_meta": {"type": "message"}, "data": _front_message(ticket)},
    }


def _helpscout_thread(number: int, kind: str, body: str) -> Json:
    return {
        "id": 1000 + number,
        "type": kind,
        "status": "active",
        "state": "published",
        "action": {"type": "default", "associatedEntities": {}},
        "body": body,
        "source": {"type": "email", "via": "customer"},
        "customer": {"id": 238604, "first": "Dana", "last": "Example"},
        "createdBy": {"id": 238604, "type": "customer", "email": "dana@example.com"},
        "assignedTo": {"id": 12, "first": "Robin", "last": "Agent"},
        "to": [],
        "cc": [],
        "createdAt": f"2031-05-02T10:0{number}:00Z",
    }


def helpscout_conversation(ticket: Ticket) -> Json:
    """A conversation with its threads, the newest first."""
    return {
        "id": 291938,
        "number": ticket.number,
        "threads": 2,
        "type": "email",
        "folderId": 1234,
        "status": "active",
        "state": "published",
        "subject": ticket.title or "",
        "preview": ticket.body[:60],
        "mailboxId": 85,
        "assignee": {"id": 12, "type": "user", "first": "Robin", "email": "robin@example.com"},
        "createdBy": {"id": 238604, "type": "customer", "email": "dana@example.com"},
        "createdAt": CREATED,
        "userUpdatedAt": UPDATED,
        "customerWaitingSince": {"time": CREATED, "friendly": "20 min ago"},
        "source": {"type": "email", "via": "customer"},
        "tags": [{"id": 9150, "color": "#929499", "tag": "vip"}],
        "cc": [],
        "bcc": [],
        "primaryCustomer": {"id": 238604, "type": "customer", "email": "dana@example.com"},
        "customFields": [{"id": 8, "name": "Account Type", "value": "8518", "text": "Premium"}],
        "_embedded": {
            "threads": [
                _helpscout_thread(4, "note", "<p>Looks like the one of last week.</p>"),
                _helpscout_thread(0, "customer", html(ticket.body)),
            ]
        },
        "_links": {
            "self": {"href": "https://api.helpscout.net/v2/conversations/291938"},
            "web": {"href": f"https://secure.helpscout.net/conversation/291938/{ticket.number}"},
        },
    }


def slack_event(ticket: Ticket) -> Json:
    """A message of the Events API."""
    return {
        "token": "z26uFbvR1xHJEdHE1OQiO6t8",
        "team_id": "T123ABC456",
        "context_team_id": "T123ABC456",
        "api_app_id": "A123ABC456",
        "event": {
            "user": "U123ABC456",
            "type": "message",
            "ts": f"{CREATED_S}.{ticket.number:06}",
            "client_msg_id": "28c7e6d1-2f5c-4d3c-9d56-6a8c2b0b9b8e",
            "text": ticket.body,
            "team": "T123ABC456",
            "blocks": [
                {
                    "type": "rich_text",
                    "block_id": "gCRm",
                    "elements": [
                        {
                            "type": "rich_text_section",
                            "elements": [{"type": "text", "text": ticket.body}],
                        }
                    ],
                }
            ],
            "channel": "C123ABC456",
            "event_ts": f"{CREATED_S}.{ticket.number:06}",
            "channel_type": "channel",
        },
        "type": "event_callback",
        "event_id": "Ev123ABC456",
        "event_time": CREATED_S,
        "authorizations": [{"team_id": "T123ABC456", "user_id": "U0LAN0Z89", "is_bot": True}],
        "is_ext_shared_channel": False,
    }


def teams_message(ticket: Ticket) -> Json:
    """A message of a channel, of Microsoft Graph."""
    return {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#chatMessage",
        "id": str(ticket.number),
        "replyToId": None,
        "etag": "1616990032035",
        "messageType": "message",
        "createdDateTime": CREATED,
        "lastModifiedDateTime": UPDATED,
        "lastEditedDateTime": None,
        "deletedDateTime": None,
        "subject": ticket.title,
        "summary": None,
        "chatId": None,
        "importance": "normal",
        "locale": "en-us",
        "webUrl": f"https://teams.microsoft.com/l/message/19%3A4a95%40thread.tacv2/{ticket.number}",
        "from": {
            "application": None,
            "device": None,
            "user": {
                "id": "8ea0e38b-efb3-4757-924a-5f94061cf8c2",
                "displayName": "Dana Example",
                "userIdentityType": "aadUser",
            },
        },
        "body": {"contentType": "html", "content": f"<div>{html(ticket.body)}</div>"},
        "channelIdentity": {"teamId": "fbe2bf47", "channelId": "19:4a95f7d8@thread.tacv2"},
        "attachments": [],
        "mentions": [],
        "reactions": [],
    }


def discord_message(ticket: Ticket) -> Json:
    """A message."""
    return {
        "id": str(334385199974967042 + ticket.number),
        "type": 0,
        "content": ticket.body,
        "channel_id": "290926798999357250",
        "author": {
            "id": "53908099506183680",
            "username": "dana",
            "global_name": "Dana",
            "avatar": "a_bab14f271d565501444b2ca3be944b25",
            "discriminator": "0",
        },
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "mention_roles": [],
        "pinned": False,
        "mention_everyone": False,
        "tts": False,
        "timestamp": "2031-05-02T10:00:00.123000+00:00",
        "edited_timestamp": None,
        "flags": 0,
    }


def postmark_mail(ticket: Ticket) -> Json:
    """A mail that came in."""
    return {
        "FromName": "Dana Example",
        "MessageStream": "inbound",
        "From": "dana@example.com",
        "FromFull": {"Email": "dana@example.com", "Name": "Dana Example", "MailboxHash": ""},
        "To": '"Support" <451d9b70cf9364d23ff6f9d51d870251569e@inbound.example.com>',
        "ToFull": [{"Email": "451d9b70@inbound.example.com", "Name": "Support", "MailboxHash": ""}],
        "Cc": "",
        "CcFull": [],
        "Bcc": "",
        "OriginalRecipient": "451d9b70cf9364d23ff6f9d51d870251569e@inbound.example.com",
        "Subject": ticket.title or "",
        "MessageID": f"22c74902-a0c1-4511-804f-{ticket.number:012}",
        "ReplyTo": "",
        "MailboxHash": "",
        "Date": "Fri, 2 May 2031 10:00:00 +0000",
        "TextBody": ticket.body,
        "HtmlBody": mail_html(ticket.body),
        "StrippedTextReply": "",
        "Tag": "",
        "Headers": [
            {"Name": "X-Spam-Status", "Value": "No"},
            {"Name": "Message-ID", "Value": "<CAGXpo2WKfxHWZ5UFYCR3H_J9SNMG+5AXUovfEFL6@example.com>"},
        ],
        "Attachments": [],
    }


def sendgrid_mail(ticket: Ticket) -> Json:
    """The fields of a form."""
    return {
        "headers": "Received: by mx0047p1mdw1.example.com\nMessage-ID: <m1@example.com>\n",
        "dkim": "{@example.com : pass}",
        "to": "support@example.com",
        "html": mail_html(ticket.body),
        "from": "Dana Example <dana@example.com>",
        "text": ticket.body,
        "sender_ip": "192.0.2.7",
        "spam_report": "Spam detection software has not identified this incoming email as spam.",
        "envelope": '{"to":["support@example.com"],"from":"dana@example.com"}',
        "attachments": "0",
        "subject": ticket.title or "",
        "spam_score": "0.011",
        "charsets": '{"to":"UTF-8","html":"utf-8","subject":"UTF-8","from":"UTF-8","text":"utf-8"}',
        "SPF": "pass",
    }


def mailgun_mail(ticket: Ticket) -> Json:
    """The fields of a route's request."""
    return {
        "recipient": "support@example.com",
        "sender": "dana@example.com",
        "from": "Dana Example <dana@example.com>",
        "subject": ticket.title or "",
        "body-plain": ticket.body,
        "stripped-text": ticket.body,
        "stripped-signature": "",
        "body-html": mail_html(ticket.body),
        "stripped-html": mail_html(ticket.body),
        "attachment-count": "0",
        "Message-Id": f"<{ticket.number}.mailgun@example.com>",
        "Date": "Fri, 2 May 2031 10:00:00 +0000",
        "message-headers": '[["Received", "by luna.example.com"], ["Mime-Version", "1.0"]]',
        "timestamp": str(CREATED_S),
        "token": "46ba72bbce7db7f5ed2e9a4d1eb6ed2e9a4d1eb6",
        "signature": "3d3bb4e02b7a2a2d8b6b39b1f18c9b1f",
    }


def graph_mail(ticket: Ticket) -> Json:
    """A mail of Microsoft Graph."""
    return {
        "@odata.etag": 'W/"CQAAABYAAADmDjKgxb0FQKUQgTpzOa6oAAAKpCcH"',
        "id": "AAMkADhAAAW-VPeAAA=",
        "createdDateTime": CREATED,
        "lastModifiedDateTime": UPDATED,
        "changeKey": "CQAAABYAAADmDjKgxb0FQKUQgTpzOa6oAAAKpCcH",
        "categories": [],
        "receivedDateTime": CREATED,
        "sentDateTime": CREATED,
        "hasAttachments": False,
        "internetMessageId": f"<{ticket.number}.graph@example.com>",
        "subject": ticket.title or "",
        "bodyPreview": ticket.body[:255],
        "importance": "normal",
        "parentFolderId": "AQMkADYAAAIBDAAAAA==",
        "conversationId": "AAQkADYAAAIBDAAAAA==",
        "isRead": False,
        "isDraft": False,
        "webLink": "https://outlook.office365.com/owa/?ItemID=AAMkADhAAAW&exvsurl=1",
        "body": {"contentType": "html", "content": mail_html(ticket.body)},
        "sender": {"emailAddress": {"name": "Dana Example", "address": "dana@example.com"}},
        "from": {"emailAddress": {"name": "Dana Example", "address": "dana@example.com"}},
        "toRecipients": [{"emailAddress": {"name": "Support", "address": "support@example.com"}}],
        "ccRecipients": [],
        "replyTo": [],
        "flag": {"flagStatus": "notFlagged"},
    }


def zoho_desk_event(ticket: Ticket) -> list[Json]:
    """The webhook of a new ticket: a list."""
    return [
        {
            "payload": {
                "id": "231057000000341092",
                "ticketNumber": str(ticket.number),
                "subject": ticket.title,
                "description": html(ticket.body),
                "email": "dana@example.com",
                "phone": None,
                "status": "Open",
                "statusType": "Open",
                "priority": "Medium",
                "channel": "Email",
                "category": None,
                "departmentId": "231057000000057001",
                "contactId": "231057000000319311",
                "contact": {"firstName": "Dana", "lastName": "Example", "type": None},
                "assigneeId": None,
                "createdTime": "2031-05-02T10:00:00.000Z",
                "modifiedTime": "2031-05-02T10:05:00.000Z",
                "customFields": {},
                "webUrl": f"https://desk.zoho.com/support/example/ShowHomePage.do#Cases/dv/{ticket.number}",
                "threadCount": "1",
                "isSpam": False,
            },
            "eventTime": str(UPDATED_S * 1000),
            "eventType": "Ticket_Add",
            "orgId": "3981311",
        }
    ]


def gorgias_ticket(ticket: Ticket) -> Json:
    """A ticket with its messages."""
    return {
        "id": ticket.number,
        "uri": f"/api/tickets/{ticket.number}/",
        "external_id": None,
        "status": "open",
        "priority": "normal",
        "channel": "email",
        "via": "email",
        "from_agent": False,
        "spam": False,
        "customer": {"id": 12, "email": "dana@example.com", "name": "Dana Example"},
        "assignee_user": {"id": 3, "email": "robin@example.com", "name": "Robin Agent"},
        "language": "en",
        "subject": ticket.title,
        "excerpt": ticket.body[:60],
        "meta": None,
        "tags": [{"id": 4, "name": "order-status", "decoration": {"color": "#fb9c2f"}}],
        "messages": [
            {
                "id": 100,
                "uri": f"/api/tickets/{ticket.number}/messages/100/",
                "ticket_id": ticket.number,
                "channel": "email",
                "via": "email",
                "public": True,
                "from_agent": False,
                "subject": ticket.title,
                "body_text": ticket.body,
                "body_html": mail_html(ticket.body),
                "stripped_text": ticket.body,
                "stripped_html": html(ticket.body),
                "sender": {"id": 12, "name": "Dana Example", "email": "dana@example.com"},
                "created_datetime": CREATED,
            }
        ],
        "messages_count": 1,
        "created_datetime": CREATED,
        "updated_datetime": UPDATED,
        "last_received_message_datetime": CREATED,
        "opened_datetime": None,
        "closed_datetime": None,
        "snooze_datetime": None,
    }


def crisp_message(ticket: Ticket) -> Json:
    """A message of a visitor."""
    website, session = "42286ab3-b29a-4fde-8538-da0ae501d825", f"session_{ticket.number:012}"
    return {
        "website_id": website,
        "event": "message:send",
        "data": {
            "website_id": website,
            "session_id": session,
            "type": "text",
            "content": ticket.body,
            "from": "user",
            "origin": "chat",
            "stamped": True,
            "timestamp": CREATED_S * 1000,
            "fingerprint": 150698569649423,
            "user": {"nickname": "visitor493603", "user_id": session},
        },
        "timestamp": CREATED_S * 1000,
    }


def linear_webhook(ticket: Ticket) -> Json:
    """The webhook of an issue."""
    return {
        "action": "create",
        "createdAt": CREATED,
        "data": {
            "id": "3443a709-f2b5-46f2-a136-a0445fd432be",
            "createdAt": CREATED,
            "updatedAt": UPDATED,
            "number": ticket.number,
            "title": ticket.title or "",
            "priority": 3,
            "boardOrder": 0,
            "sortOrder": -2036,
            "teamId": "9e383f51-2629-4f19-97ff-451cc2f0a0ad",
            "previousIdentifiers": [],
            "creatorId": "674c90c8-35ea-454d-8ca4-5548258fd795",
            "stateId": "a2530cac-36a0-4b6d-9af0-6357784035d4",
            "priorityLabel": "Medium",
            "identifier": f"SUP-{ticket.number}",
            "description": ticket.body,
            "state": {"id": "a2530cac", "color": "#f2c94c", "name": "Triage", "type": "triage"},
            "team": {"id": "9e383f51", "key": "SUP", "name": "Support"},
            "labels": [{"id": "6e4da2ed", "color": "#EB5757", "name": "Bug"}],
        },
        "url": f"https://linear.app/example/issue/SUP-{ticket.number}/x",
        "type": "Issue",
        "organizationId": "7a661544-df08-4cd1-a1e3-5ec611898806",
        "webhookTimestamp": UPDATED_S * 1000,
        "webhookId": "000042e3-d123-4980-b49f-8e140eef9329",
    }


def asana_task(ticket: Ticket) -> Json:
    """A task, in its object."""
    return {
        "data": {
            "gid": str(1200000000000000 + ticket.number),
            "resource_type": "task",
            "resource_subtype": "default_task",
            "name": ticket.title or "",
            "notes": ticket.body,
            "html_notes": f"<body>{escape(ticket.body)}</body>",
            "completed": False,
            "completed_at": None,
            "created_at": "2031-05-02T10:00:00.000Z",
            "modified_at": "2031-05-02T10:05:00.000Z",
            "assignee": {"gid": "12345", "name": "Robin Agent", "resource_type": "user"},
            "assignee_status": "inbox",
            "custom_fields": [
                {"gid": "789", "name": "Priority", "type": "enum", "display_value": "High"}
            ],
            "due_on": None,
            "followers": [{"gid": "12345", "name": "Robin Agent", "resource_type": "user"}],
            "memberships": [{"project": {"gid": "111", "name": "Support"}}],
            "num_likes": 0,
            "permalink_url": f"https://app.asana.com/0/111/{1200000000000000 + ticket.number}",
            "tags": [],
            "workspace": {"gid": "222", "name": "Example", "resource_type": "workspace"},
        }
    }


def trello_card(ticket: Ticket) -> Json:
    """A card."""
    link = f"card{ticket.number}"
    return {
        "id": "5abbe4b7ddc1b351ef961414",
        "badges": {"votes": 0, "comments": 0, "attachments": 0},
        "checkItemStates": [],
        "closed": False,
        "dateLastActivity": "2031-05-02T10:05:00.000Z",
        "desc": ticket.body,
        "descData": {"emoji": {}},
        "due": None,
        "idBoard": "5abbe4b7ddc1b351ef961415",
        "idList": "5abbe4b7ddc1b351ef961416",
        "idLabels": ["560bf48219ad3a5dc2f1e9f2"],
        "idMembers": [],
        "idShort": ticket.number,
        "labels": [{"id": "560bf48219ad3a5dc2f1e9f2", "name": "Mail", "color": "yellow"}],
        "name": ticket.title or "",
        "pos": 65535,
        "shortLink": link,
        "shortUrl": f"https://trello.com/c/{link}",
        "url": f"https://trello.com/c/{link}/{ticket.number}-x",
        "subscribed": False,
        "cover": {"color": None, "size": "normal"},
    }


def azure_devops_item(ticket: Ticket) -> Json:
    """A work item."""
    user = {
        "displayName": "Dana Example",
        "url": "https://spsprodweu5.vssps.visualstudio.com/A0000000/_apis/Identities/e70a0b57",
        "uniqueName": "dana@example.com",
        "imageUrl": "https://dev.azure.com/example/_apis/GraphProfile/MemberAvatars/aad.ZTcw",
    }
    return {
        "id": ticket.number,
        "rev": 1,
        "fields": {
            "System.AreaPath": "Support",
            "System.TeamProject": "Support",
            "System.IterationPath": "Support",
            "System.WorkItemType": "Issue",
            "System.State": "To Do",
            "System.Reason": "Added to backlog",
            "System.CreatedDate": "2031-05-02T10:00:00.123Z",
            "System.CreatedBy": user,
            "System.ChangedDate": "2031-05-02T10:05:00.123Z",
            "System.ChangedBy": user,
            "System.CommentCount": 0,
            "System.Title": ticket.title or "",
            "System.Description": f"<div>{html(ticket.body)}</div>",
            "Microsoft.VSTS.Common.Priority": 2,
        },
        "_links": {
            "self": {"href": f"https://dev.azure.com/example/_apis/wit/workItems/{ticket.number}"},
            "html": {"href": f"https://dev.azure.com/example/Support/_workitems/edit/{ticket.number}"},
        },
        "url": f"https://dev.azure.com/example/_apis/wit/workItems/{ticket.number}",
    }


def redmine_issue(ticket: Ticket) -> Json:
    """An issue, in its object."""
    return {
        "issue": {
            "id": ticket.number,
            "project": {"id": 4, "name": "Support"},
            "tracker": {"id": 3, "name": "Support"},
            "status": {"id": 1, "name": "New", "is_closed": False},
            "priority": {"id": 2, "name": "Normal"},
            "author": {"id": 3, "name": "Dana Example"},
            "subject": ticket.title,
            "description": ticket.body,
            "start_date": "2031-05-02",
            "due_date": None,
            "done_ratio": 0,
            "is_private": False,
            "estimated_hours": None,
            "custom_fields": [{"id": 1, "name": "Affected version", "value": "1.0.1"}],
            "created_on": CREATED,
            "updated_on": UPDATED,
            "closed_on": None,
        }
    }


def otrs_ticket(ticket: Ticket) -> Json:
    """A ticket of the generic interface, with its articles."""
    return {
        "Ticket": [
            {
                "Age": 300,
                "ArchiveFlag": "n",
                "Changed": "2031-05-02 10:05:00",
                "Created": "2031-05-02 10:00:00",
                "CustomerID": "example",
                "CustomerUserID": "dana",
                "Lock": "unlock",
                "Owner": "root@localhost",
                "Priority": "3 normal",
                "PriorityID": "3",
                "Queue": "Raw",
                "QueueID": "2",
                "State": "new",
                "StateType": "new",
                "TicketID": "81",
                "TicketNumber": f"2031050210{ticket.number:06}",
                "Title": ticket.title or "",
                "Type": "Unclassified",
                "UntilTime": 0,
                "Article": [
                    {
                        "ArticleID": "104",
                        "Body": ticket.body,
                        "ContentType": "text/plain; charset=utf-8",
                        "CommunicationChannelID": 1,
                        "CreateTime": "2031-05-02 10:00:00",
                        "From": '"Dana Example" <dana@example.com>',
                        "IsVisibleForCustomer": "1",
                        "SenderType": "customer",
                        "SenderTypeID": "3",
                        "Subject": ticket.title or "",
                        "To": "Raw",
                    }
                ],
            }
        ]
    }


def typeform_response(ticket: Ticket) -> Json:
    """The answers of a contact form."""
    return {
        "event_id": "LtWXD3crgy",
        "event_type": "form_response",
        "form_response": {
            "form_id": "lT4Z3j",
            "token": f"a3a12ec67a1365927098a606107fac{ticket.number}",
            "submitted_at": UPDATED,
            "landed_at": CREATED,
            "definition": {
                "id": "lT4Z3j",
                "title": "Contact us",
                "fields": [
                    {"id": "DlXFaesGBpoF", "title": "How can we help?", "type": "long_text"},
                    {"id": "SMEUb7VJz92Q", "title": "Your email", "type": "email"},
                ],
            },
            "answers": [
                {
                    "type": "text",
                    "text": ticket.body,
                    "field": {"id": "DlXFaesGBpoF", "type": "long_text"},
                },
                {
                    "type": "email",
                    "email": "dana@example.com",
                    "field": {"id": "SMEUb7VJz92Q", "type": "email"},
                },
            ],
        },
    }


def pubsub_push(ticket: Ticket) -> Json:
    """A ticket of Zendesk in a message of an event bus: base64 of JSON."""
    import json

    data = base64.b64encode(json.dumps(zendesk_event(ticket)).encode()).decode()
    return {
        "message": {
            "attributes": {"origin": "zendesk"},
            "data": data,
            "messageId": "136969346945",
            "publishTime": UPDATED,
        },
        "subscription": "projects/example/subscriptions/tickets",
    }


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
