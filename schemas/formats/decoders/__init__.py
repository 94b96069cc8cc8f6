"""Decoders of what is not JSON: CEF, LEEF, syslog, Windows event XML and RFC 5322 mail.

`decode_other` makes a JSON-like document of the bytes of one record. The document is then
recognised by mappings, like any JSON document. These are its shapes. A field that was not sent is
left out, except in `cef` and `leef`, whose header fields are always there. Every value is a string
unless it is said otherwise. A name that occurs twice is kept as ``name`` and ``name#2``.

CEF, alone or behind a syslog header (then `syslog` is there too)::

    {"cef": {"version": "0", "device_vendor": "Trend Micro", "device_product": "…",
             "device_version": "…", "signature_id": "…", "name": "…", "severity": "8",
             "time": "2031-05-02T10:11:12Z",            # of start, rt or end, if one can be read
             "extension": {"src": "10.0.0.5", "msg": "…", "cs1": "…", "cs1Label": "Rule",
                           "Rule": "…"}},               # a custom label is a name, too
     "syslog": {…}}

LEEF 1.0 and 2.0, alone or behind a syslog header::

    {"leef": {"version": "2.0", "vendor": "…", "product": "…", "product_version": "…",
              "event_id": "…", "time": "2031-05-02T10:11:12Z",       # of devTime
              "attributes": {"sev": "7", "usrName": "…", "msg": "…"}},
     "syslog": {…}}

Syslog, RFC 3164 or RFC 5424, and what is inside its message::

    {"syslog": {"facility": "local0", "severity": "notice", "priority": 133,   # a number
                "timestamp": "2031-05-02T10:11:12Z",       # if it can be read
                "timestamp_text": "May  2 10:11:12",       # as it was sent
                "host": "fw01", "app": "sshd", "procid": "99", "msgid": "ID47",
                "structured_data": {"junos@2636.1.1.1.2.39": {"source-address": "10.0.0.5"}}},
     "message": "Failed password for root",   # plain words
     "fields": {"devname": "fw01", …},        # beside `message`, if it is key=value pairs or
                                              # Check Point's [key:"value"; …]
     "columns": ["1", "2031/05/02 …", …],     # beside `message`, if it is CSV (Palo Alto)
     "mnemonic": "ASA-4-106023",              # beside `message`, if it begins with Cisco's %…:
     "json": {…},                             # instead of `message`: JSON, an object or an array
     "cef": {…}, "leef": {…}, "Event": {…}}   # instead of `message`

`syslog` is empty if a line of pairs or a Cisco message has no header. Words that stand between the
header and CEF or LEEF are in ``prefix``.

`facility` is one of kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp,
ntp, audit, alert, clock, local0 … local7; `severity` is one of emergency, alert, critical, error,
warning, notice, informational, debug.

Windows event XML, with `Data` elements by their name, and as ``param1`` … if they have none::

    {"Event": {"System": {"Provider": {"Name": "…", "Guid": "…"}, "EventID": "1116",
                          "Level": "3", "Task": "0", "Opcode": "0", "Keywords": "0x8000…",
                          "TimeCreated": {"SystemTime": "2031-05-02T10:11:12.000Z"},
                          "EventRecordID": "41116", "Channel": "…", "Computer": "ws-7",
                          "Execution": {"ProcessID": "4", "ThreadID": "8"},
                          "Security": {"UserID": "S-1-5-18"}},
               "EventData": {"Threat Name": "…", "param1": "…"},
               "UserData": {"RuleAndFileData": {"PolicyName": "EXE"}},
               "RenderingInfo": {"Culture": "en-US", "Message": "…", "Level": "Warning"}},
     "message": "…"}     # the rendered message, else the data as "Name: value" lines

RFC 5322 mail::

    {"mail": {"message_id": "<m1@example.com>", "subject": "…", "from": "D <d@example.com>",
              "to": "…", "cc": "…", "date": "2031-05-02T08:00:00Z", "date_text": "…",
              "in_reply_to": "<…>", "references": ["<…>"],              # an array
              "headers": {"reply-to": "…", "importance": "high"},       # a few, lower case
              "attachments": [{"name": "a.pdf", "type": "application/pdf", "size": 4711}],
              "parts_left_out": true},     # only if it has more than 200 parts, or 8 levels
     "text": "…",        # if the mail has plain text
     "html": "…"}        # if it has no plain text

A record with several octet-counted syslog frames, several lines that each begin like syslog, CEF
or LEEF, or several Windows events gives an array of such documents.
"""

from schemas.formats.decoders.records import Decoded, DecoderName, decode_other

__all__ = ["Decoded", "DecoderName", "decode_other"]
