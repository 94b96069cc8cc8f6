"""The names of fields by which a document of an unknown format is read.

A name is in small letters without what stands between its words, so ``alert_name``, ``alertName``
and ``Alert Name`` are one. A number after a name is its rank: 0 is the most usual name.
"""

from collections.abc import Iterable, Mapping
from itertools import product

Ranks = Mapping[str, int]


def _ranked(*groups: str | Iterable[str]) -> Ranks:
    """Names in order; a group is a text of words, or words."""
    ranks: dict[str, int] = {}
    for group in groups:
        for name in group.split() if isinstance(group, str) else group:
            ranks.setdefault(name, len(ranks))
    return ranks


def _joined(stems: str, endings: str) -> list[str]:
    """Every stem with every ending, by stem; ``-`` is an empty ending."""
    return [
        stem.strip("-") + ending.strip("-")
        for stem, ending in product(stems.split(), endings.split())
    ]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INCIDENTS = (
    "event alert finding incident ticket case issue detection alarm notification violation offense "
    "anomaly breach observation malop"
)

IDS = _ranked(
    "id eventid",
    _joined(_INCIDENTS, "uuid guid uid uniqueid"),
    "uuid guid",
    # After these: where both stand, the id of an alert is that of its definition.
    _joined(_INCIDENTS, "id"),
    "uid metadatauid autoguid sysid internalid insertid executionid documentid trackingreference",
    "ticketnumber incidentnumber casenumber messageid mailid externalid number",
)
MAIL_IDS = frozenset(("messageid", "mailid"))
TYPE_NUMBERS = frozenset(("eventid", "messageid", "uid"))
"""Names that have the id of an event in one product, and the number of its type (Windows event
4625, Cisco message 106023) or of a user in another. A short number of these is no id."""

TITLES = _ranked(
    "title subject headline alerttitle alertname summary shortdescription rulename rulenm",
    "detectionname detectname threatname signature signaturename alarmname alarmtext incidentname",
    "findingname issuetitle issuename casetitle tickettitle ticketsubject eventtitle",
    "alertdisplayname indicatorname malwarename virusname attackname attackfamily",
    "exploittechnique displayname activitydisplayname problem problemtitle check checkname",
    "monitorname emailsubject mailsubject primarydescription shortmessage",
)
PHRASES = _ranked(
    "name detection rule alert event operationdetail reason message msg description desc"
)
"""Names that a title may have near the top, if it is more than one word."""
TOKENS = _ranked(
    "name detection rule alert event eventname eventtypename",
    "operationname eventtype typename operation",
    "activity actionname actiontype action activitytype alerttype reason message msg type category",
)
"""Names that a title of any form may have near the top, if there is no better one."""
NO_TITLES = _words(
    "event alert alerts message log logs default object user users group device host account system"
    " update updated create created delete deleted read modify true false yes no none null unknown"
    " info other general na"
)
"""Words of such fields that say nothing alone."""

BODIES = _ranked(
    "description desc longdescription body bodytext textbody plainbody rawtextbody content text",
    "details detail message msg alertmessage eventmessage alertdescription eventdescription",
    "incidentdescription issuedescription findingdescription detectdescription threatdescription",
    "changedescription secondarydescription explanation reason summary output comment notes",
    "firstmessage errormessage additionalinformation bodypreview fulllog rawmessage fullmessage",
)

_CLOCKS = "at time - datetime date timestamp on ts utc timeutc dateutc timestamputc"
TIMES = _ranked(
    _joined("occurred occured occurrence event securityevent", "at time datetime timestamp date"),
    "timestamp time datetime activitydatetime isotimestamp",
    _joined("detected detection", _CLOCKS.replace("-", "")),
    "firstdetected firstobserved observedat",
    _joined("start started starts begin", "time at date datetime timestamp timeutc"),
    "alerttime alertdate incidenttime raised raisedat",
    _joined("created creation create", _CLOCKS),
    "createddatetime eventcreationtime datecreated dateentered syscreatedon opened openedat",
    _joined("published generated recorded reported raised submitted submit sent", _CLOCKS),
    _joined("generation gen log message add added receipt", "time date datetime at"),
    "timecreated timegenerated utctime datestart sentatdate longdatetime start date ts when",
    "rt calendartime unixtime",
    _joined("firstseen firstoccurrence triggered", "- at time date"),
    _joined("server client", "timestamp time"),
    _joined("received effective", "at time date"),
    _joined("updated update modified lastmodified lastupdated lastseen lastoccurrence", _CLOCKS),
    "sysupdatedon",
)

INNER_TIMES = ("$date", "value", "dateTime", "datetime", "iso", "time", "date", "display_value")
"""Names inside an object that is a time, the best first."""

SOURCES = _ranked(
    "source product productname vendor vendorname deviceproduct datasourcename datasource",
    "datasourcevendor datasourceproduct observerproduct observervendor sourcesystem sourceproduct",
    "sourcevendor alertsource alertprovider analyzername devicevendor",
)
WEAK_SOURCES = _ranked(
    "provider providername sensor tool system integration application app generator detector"
)
"""Names that a product may have, and also what it watches."""
NO_SOURCES = _words(
    "aws gcp azure oci cloud email mail phone web chat portal api internal external manual user"
    " users admin administrator server client system self-service webform form inbound outbound"
    " customer agent unknown other none network endpoint host malware self mobile desktop restapi"
)
"""Words of such fields that say from where something came, but not which product says it."""
QUALIFIERS = _ranked("source repository repo project product application app account host")

LINKS = _ranked(
    "url link htmlurl weburl permalink alerturl incidenturl issueurl eventurl consoleurl console",
    "externalurl href alertlink",
)

# Objects that are the event itself in a wrapper. A nested id is that of the event only in these:
# the id of a rule, for example, is the same in all of its alerts.
CARRIERS = _words(
    "alert event finding incident issue ticket case detail details data payload objectattributes"
    " notification detection threatinfo alertinfo record message item object fields attributes"
    " result body content properties values links"
)
# Those of them that may also hold a thing that an event is about.
HOLDERS = _words("data object item record payload result body content resource values")
# Objects that say who or what takes part. Their names and ids are not those of the event.
PARTS = _words(
    "user actor author creator owner assignee requester reporter sender recipient account host"
    " agent manager device endpoint asset entity entities resource service process file"
    " customer contact organization organisation team group image cluster node via avatar"
    " avatarurls decoder useragent client geoip geo location performedby initiatedby createdby"
    " updatedby lasteditedby lastmodifiedby identity principal targetuser accessdevice source"
    " destination browser os parent parentprocess project repository board workspace company"
    " department site caller callerbranch technician template type status priority category"
    " request response httprequest networkinfo principaluser impersonator target primaryresource"
)
# What a thing has and an event has not: such an object has an id of its own.
THINGS = _words("email emailaddress username login firstname lastname hostname useremail")
# What is older than its events: the time of these says nothing of an event.
RULES = _words(
    "rule policy model monitor condition signature definition sourcerule alertrule license"
)
# Words at the end of what an event is called, if the event is that a thing was changed.
CHANGES = ("created", "updated", "deleted", "added", "removed", "modified", "edited", "changed")
CHANGED_BY = ("event", "eventtype", "action", "type", "eventname", "operation")
SOURCE_PARENTS = frozenset(("", "event", "alert", "finding", "incident", "detection", "metadata"))
"""Objects whose ``source`` may be a product. That of another is where something came from."""
