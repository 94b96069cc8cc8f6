"""Issue trackers and boards."""

from html import escape

from tests.desk_shapes.words import CREATED, UPDATED, UPDATED_S, Json, Ticket, html


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
        "title": ticket.title or "",
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
            "title": ticket.title or "",
            "type": "Issue",
            "updated_at": "2031-05-02 10:05:00 UTC",
            "url": f"https://gitlab.example.com/acme/shop/-/issues/{ticket.number}",
            "action": "open",
            "labels": [],
        },
        "labels": [],
        "changes": {"title": {"previous": None, "current": ticket.title or ""}},
        "repository": {"name": "Shop", "homepage": "https://gitlab.example.com/acme/shop"},
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
            "html": {
                "href": f"https://dev.azure.com/example/Support/_workitems/edit/{ticket.number}"
            },
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
            "subject": ticket.title or "",
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
