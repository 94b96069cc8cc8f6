"""Help desks."""

from tests.desk_shapes.words import CREATED, UPDATED, Json, Ticket, html


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


def freshdesk_webhook(ticket: Ticket) -> Json:
    """The webhook of an automation, with all fields that it offers."""
    return {
        "freshdesk_webhook": {
            "ticket_id": ticket.number,
            "ticket_subject": ticket.title or "",
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
        "subject": ticket.title or "",
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
            "subject": ticket.title or "",
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
            "number": f"31{ticket.number:03}",
            "title": ticket.title or "",
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
            "subject": ticket.title or "",
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
