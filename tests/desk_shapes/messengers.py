"""Chats, messengers and forms."""

from tests.desk_shapes.words import CREATED, CREATED_S, UPDATED, UPDATED_S, Json, Ticket, html


def _intercom_author(kind: str, name: str) -> Json:
    return {
        "type": kind,
        "id": "5c9553cb27e377f24eed49f7",
        "name": name,
        "email": f"{name.split(maxsplit=1)[0].lower()}@example.com",
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
