"""Shared inboxes and mail services."""

from tests.desk_shapes.words import (
    CREATED,
    CREATED_S,
    UPDATED,
    UPDATED_S,
    Json,
    Ticket,
    html,
    mail_html,
)


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
            "_links": {
                "self": f"https://example.api.frontapp.com/conversations/cnv_{ticket.number}"
            },
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


def zoho_desk_event(ticket: Ticket) -> list[Json]:
    """The webhook of a new ticket: a list."""
    return [
        {
            "payload": {
                "id": "231057000000341092",
                "ticketNumber": str(ticket.number),
                "subject": ticket.title or "",
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
            {
                "Name": "Message-ID",
                "Value": "<CAGXpo2WKfxHWZ5UFYCR3H_J9SNMG+5AXUovfEFL6@example.com>",
            },
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
