"""Service desks and customer relations."""

from typing import Any

from tests.desk_shapes.words import CREATED_S, UPDATED_S, Json, Ticket, adf, html


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
        "summary": ticket.title or "",
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
            {"fieldId": "summary", "label": "What do you need?", "value": ticket.title or ""},
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
    reference = (
        "https://example.service-now.com/api/now/table/sys_user/681ccaf9c0a8016400b98a06818d57c7"
    )
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
        "short_description": ticket.title or "",
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
        "Subject": ticket.title or "",
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
