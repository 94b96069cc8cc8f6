"""Redaction: every forbidden value is replaced, in any spelling, and the rest stays readable."""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from inference.egress import redaction as redaction_module
from inference.egress.kinds import VALUE_KINDS
from inference.egress.redaction import Redaction
from inference.errors import RedactionFailed
from schemas.event import Event, Stated
from tests.patience import within_cpu_s
from tests.planted import arrived, planted_events

HEX_64 = "0f" * 32


def redacted(text: str, *keep: Any) -> str:
    """One text after redaction, without an event."""
    return Redaction(frozenset(keep)).text(text)


def wide(text: str) -> str:
    """The text in full-width letters, as in East Asian typesetting."""
    return "".join(chr(ord(c) + 0xFEE0) for c in text)


def eastern(text: str) -> str:
    """The text with Arabic-Indic digits."""
    arabic_indic = {ord(str(digit)): 0x0660 + digit for digit in range(10)}
    return text.translate(arabic_indic)


def document(value: dict[str, Any], **fields: Any) -> Any:
    """A vendor's document after redaction."""
    return Redaction().event(Event(id="e", kind="alert", event=value, **fields)).event


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe@corp.example today", "write to [EMAIL_1] today"),
        ("jane%40corp.example", "[EMAIL_1]"),
        ("jane [at] corp [dot] example", "[EMAIL_1]"),
        ("jane(at)corp(dot)example.com", "[EMAIL_1]"),
        ("jane dot doe at corp dot com", "[EMAIL_1]"),
        ("jane&#64;corp.example", "[EMAIL_1]"),
        ("jane\\u0040corp.example", "[EMAIL_1]"),
        ("ja\u200bne\u00ad@corp.example", "[EMAIL_1]"),
        (wide("jane@corp.example"), "[EMAIL_1]"),
        ("'jane@corp.example'", "'[EMAIL_1]'"),
        ("o'brien@corp.example", "[EMAIL_1]"),
        ("jösé@müller.example", "[EMAIL_1]"),
        ("jane@\ncorp.example", "[EMAIL_1]"),
        ("j\u0336a\u0336ne@corp.example", "[EMAIL_1]"),
    ],
)
def test_emails(text: str, expected: str) -> None:
    """A customer's address would be sent if a person or an encoder spelled it unusually."""
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "number",
    [
        "+44 20 7946 0958", "020 7946 0958", "(212) 736-5000", "212.736.5000", "2127365000",
        "+1-212-736-5000", "+55 11 98765-4321", "(11) 98765-4321", "11987654321", "+49 30 901820",
        "030/901820", "0049 30 901820", "06.12.34.56.78", "+351 912 345 678", "912 345 678",
        eastern("212-736-5000"), "+44 20\u20117946\u20110958",
    ],
)  # fmt: skip
def test_phones(number: str) -> None:
    """A customer's telephone number would be sent."""
    assert redacted(f"ring {number} please") == "ring [PHONE_1] please"


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111",
        "4111\u20131111\u20131111\u20131111", "378282246310005", "3782 822463 10005",
        "4111 1111\n1111 1111", "5555.5555.5555.4444", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "4111 1111 1111 1112", eastern("4111111111111111"), "4111\u20091111\u20091111\u20091111",
    ],
)  # fmt: skip
def test_cards(number: str) -> None:
    """A card number would be sent, which no policy may allow."""
    assert redacted(f"my card {number}, thanks") == "my card [CARD_1], thanks"


def test_a_card_beside_other_numbers_is_found() -> None:
    """With an expiry date after it, the number would seem too long for a card."""
    assert "1111" not in redacted("ref 12 4111111111111111 12/27 500")


@pytest.mark.parametrize(
    "text", ["536-90-4399", "536 90 4399", "SSN: 536904399", "social security number is 536904399"]
)
def test_ssns(text: str) -> None:
    """A social security number would be sent."""
    assert "4399" not in redacted(text)


@pytest.mark.parametrize(
    "number",
    [
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "de89370400440532013000",
        "GB33-BUKB-2020-1555-5555-55",
        "IE00 EXMP 0000 0012 3456 78",
        "DE89370400440532013001",
    ],
)  # fmt: skip
def test_ibans(number: str) -> None:
    """An account number would be sent, at least one with a typing error."""
    assert redacted(f"to {number} please") == "to [IBAN_1] please"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.20.4.203", "[IP_1]"),
        ("10.20.4.203:445", "[IP_1]:445"),
        ("10.20.0.0/16", "[IP_1]/16"),
        ("10[.]20[.]4[.]203", "[IP_1]"),
        ("10(dot)20(dot)4(dot)203", "[IP_1]"),
        ("hxxp://10[.]20[.]4[.]203/gate", "hxxp://[IP_1]/gate"),
        ("IP 10.20.4.203.51544 > dns", "IP [IP_1].51544 > dns"),
        ("fe80::1%eth0", "[IP_1]%eth0"),
        ("[2001:db8::1]:443", "[[IP_1]]:443"),
        ("from 2001:db8::1: refused", "from [IP_1]: refused"),
        ("::ffff:10.20.9.31", "[IP_1]"),
        ("2001[:]db8[:][:]1", "[IP_1]"),
        ("ip-10-20-4-203.internal", "ip-[IP_1].internal"),
        ("00:00:5e:00:53:1c", "[MAC_1]"),
        ("00-00-5E-00-53-1C", "[MAC_1]"),
        ("0000.5e00.531c", "[MAC_1]"),
        ("mac=00005e00531c", "mac=[MAC_1]"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    """The internal addresses of the network would be sent to a stranger."""
    assert redacted(text) == expected


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.s3cr3tS1gnatur3s3cr3tS1gnatur3"
PEM = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n"
    "-----END OPENSSH PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("used AKIAIOSFODNN7EXAMPLE there", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F292c"),
        ("glpat-ABCdef123456789012345", "ABCdef1234"),
        ("xoxb-123456789012-123456789012-abcdefABCDEF", "abcdefABCDEF"),
        ("sk_" + "live_abcdefghijklmnopqrstuvwx", "abcdefghij"),
        ("sk-ant-api03-abcdefghijklmnopqrstuvwxyz", "abcdefghij"),
        ("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9", "AAHdqTcv"),
        (f"cookie {JWT} seen", "eyJzdWIiOiJqYW5lIn0"),
        (f"found:\n{PEM}\nend", "b3BlbnNzaC1rZXktdjE"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg and no end", "MIIEvQIBADANBg"),
        ("Authorization: Bearer abc123def", "abc123def"),
        ('"Authorization":"Basic dXNlcjpwdw=="', "dXNlcjpwdw"),
        ("Cookie: session=abc; theme=dark", "abc"),
        ("https://svc:pa:ss@git.example.com/x", "pa:ss"),
        ("amqp://u:p@ss@mq.example.com", "p@ss"),
        ("https://x.example/reset?token=abc123&l=en", "abc123"),
        ("https://x.example/b?sv=1&sig=q1w2e3r4t5y6%3D", "q1w2e3r4t5y6"),
        ("https://s3.example/o?X-Amz-Signature=" + HEX_64, HEX_64),
        ("password=ab,cd&ef x", "ab,cd&ef"),
        ("Password: hunter2.", "hunter2"),
        ("pwd:\nhunter22", "hunter22"),
        ("my password is hunter2", "hunter2"),
        ("Passwort ist geh3im", "geh3im"),
        ("meu PIN é 4821", "4821"),
        ("the cvv 123", "123"),
        ("password=$ecret1", "$ecret1"),
        ('"password":"<ab1"', "<ab1"),
        ("password=(ab1!)", "(ab1"),
        ("password={ab1", "{ab1"),
        ("pwd=[ab1", "[ab1"),
        ("pwd=%ab1%", "%ab1"),
        ("DB_PASSWORD='two words'", "two words"),
        ('{"api_key":"short1"}', "short1"),
        ('{\\"password\\":\\"x1y2\\"}', "x1y2"),
        ("<password>x1y2z3</password>", "x1y2z3"),
        ("AccountKey=Zm9vYmFyMTIz==;EndpointSuffix=x", "Zm9vYmFyMTIz"),
        ("SharedAccessSignature sr=x&sig=abcdefabcdef1234", "abcdefabcdef1234"),
        ("tool --password x1y2z3 --force", "x1y2z3"),
        ("jdbc:sqlserver://db.example;user=sa;password=x1@y2;z3;", "x1@y2;z3"),
        ("echo x1y2z3 | sudo -S id", "x1y2z3"),
        ("redis://:x1y2z3@cache.example:6379", "x1y2z3"),
        ("tool /pass:x1y2z3", "x1y2z3"),
        ("mysql -uroot -px1y2z3 db", "x1y2z3"),
        ("psexec -u adm -p x1y2z3 cmd", "x1y2z3"),
        ("net user backdoor x1y2z3 /add", "x1y2z3"),
        ("net use Z: \\\\srv\\c$ x1y2z3 /user:CORP\\bob", "x1y2z3"),
        ("curl -u svc:x1y2z3 https://api.example", "x1y2z3"),
        ("secretsdump.py corp/bob:x1y2z3@10.0.0.1", "x1y2z3"),
        ("ConvertTo-SecureString 'x1y2z3' -AsPlainText", "x1y2z3"),
        ("root:$6$saltsalt$abcdefghijkl:19000", "abcdefghijkl"),
        ("aad3b435b51404eeaad3b435b51404ee:31d6cfe0d16ae931b73c59d7e0c089c0", "31d6cfe0d16a"),
        ("key 9f8Gk2LmQ7xTz4Vb1NcR and", "9f8Gk2LmQ7xTz4Vb1NcR"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        (f"token {HEX_64}", HEX_64),
    ],
)
def test_secrets(text: str, secret: str) -> None:
    """A secret would be sent to the operator of the model."""
    out = redacted(text)
    assert secret not in out
    assert "[SECRET_1]" in out


@pytest.mark.parametrize(
    "text",
    [
        "The token expired. The password was reset by the helpdesk.",
        "PIN blocked, three tries. How do I unblock it?",
        "password is not working and the password: forgotten",
        "card ending 4242, order 18446744, 2026-03-16T10:30:52.798918+0000, on 2026-03-16",
        f"sha256 {HEX_64[:-1]}a and trace 4e7444baa9b7ab1c",
        "UUID 3dc66883-36fa-3aca-bcfa-344a60b30d3a, CVE-2021-44228, S-1-5-18",
        "docker run -p 8080:80 nginx; ssh -p 2222; mkdir -p /var/lib/x",
        (
            "C:\\Windows\\System32\\cmd.exe /c whoami, HKLM\\Software\\Microsoft\\Windows, "
            "NT AUTHORITY\\SYSTEM"
        ),
        "payments-api-6f4c9-x2k in kube-system; std::string; 12:30:45; v4.18.24010",
        (
            "1,234,567.00 EUR on 12.03.2026, invoice 2026-118, flow 244834774019299, "
            "epoch 1773646512363"
        ),
        "user: cannot sign in. PWD=/srv/app",
        "user root, user=admin, Accepted password for root from console",
        (
            "build ALL=(ALL) NOPASSWD: ALL; $PASSWORD=%PASS% password=<hidden> password=***** "
            "pwd={{pw}}"
        ),
        "NtAllocateVirtualMemory2 AmazonEC2RoleforSSM projects/-/serviceAccounts",
        (
            "sg-0aebfa21f302bded9 in vpc-0f59e8f1222b0de6a; 'contains':'@aol.co.uk'; "
            "at this point the bank"
        ),
        "next_page_token: none, prompt_tokens: 512, max_tokens=1000",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    """The model would have to judge a text that is full of placeholders."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CORP\\k.brandvold signed in", "k.brandvold"),
        ("/home/kbrandvold/.ssh/id_rsa", "kbrandvold"),
        ("C:\\Users\\Kari Brandvold\\x.exe", "Kari Brandvold"),
        ("C:\\\\Users\\\\kbrandvold\\\\x", "kbrandvold"),
        ("arn:aws:iam::123456789012:user/kbrandvold", "kbrandvold"),
        ("arn:aws:sts::123456789012:assumed-role/Admin/kbrandvold", "kbrandvold"),
        ("Failed password for invalid user kbrandvold from 10.0.0.1", "kbrandvold"),
        ("user=kbrandvold", "kbrandvold"),
        ("Login: kbrandvold, from the branch", "kbrandvold"),
        ("sudo: kbrandvold : TTY=pts/0", "kbrandvold"),
        ("uid=kbrandvold,ou=people", "kbrandvold"),
        ("Account Name:\t\tkbrandvold", "kbrandvold"),
        ('<Data Name="TargetUserName">kbrandvold</Data>', "kbrandvold"),
        ("ssh kbrandvold@10.0.0.1", "kbrandvold"),
        ("S-1-5-21-3623811015-3361044348-30300820-1013", "3361044348"),
        ("host=web-17 up", "web-17"),
        ("dir \\\\FILESRV-01\\legal", "FILESRV-01"),
    ],
)
def test_names_by_their_place_in_the_text(text: str, name: str) -> None:
    """The names of a customer's people and machines would be sent."""
    assert name not in redacted(text)


@pytest.mark.parametrize(
    "path",
    [
        "user", "userName", "user_name", "user.name", "src_user", "TargetUserName",
        "userIdentity.userName", "actor.alternateId", "actor.displayName", "owner", "principal",
        "account.name", "host", "hostname", "host.name", "Computer", "device.name", "workstation",
        "requestedBy", "actor.user.uid", "dvchost", "login",
    ],
)  # fmt: skip
def test_names_in_known_fields_are_replaced_everywhere(path: str) -> None:
    """A name known by its field would be sent in the title, in a key or in upper case."""
    nested: Any = "zq-brandvold"
    for part in reversed(path.split(".")):
        nested = {part: nested}
    event = Event(
        id="e",
        kind="alert",
        title="ZQ-BRANDVOLD was seen",
        event={**nested, "zq-brandvold": 1, "deep": [["about zq-brandvold."]]},
        attributes={path: "zq-brandvold"},
    )
    out = Redaction().event(event)
    assert "brandvold" not in orjson.dumps([out.title, out.event, out.attributes]).decode().lower()


def test_names_are_known_without_their_domains() -> None:
    r"""`jdoe` would be sent if the field says `CORP\jdoe` or `jdoe@corp.example`."""
    for value in ("CORP\\jdoe", "jdoe@corp.example", "arn:aws:iam::1:user/jdoe"):
        event = Event(id="e", kind="alert", text="JDOE again", event={"user": value})
        assert Redaction().event(event).text == "[USER_1] again"
    machine = Event(
        id="e", kind="alert", text="WEB-17 again", event={"host": "web-17.corp.example"}
    )
    assert Redaction().event(machine).text == "[HOST_1] again"


def test_pairs_of_name_and_value_are_fields() -> None:
    """Values from Windows and Google would be sent: their names stand in another field."""
    data = {
        "Data": [
            {"@Name": "TargetUserName", "#text": "qbert"},
            {"name": "password", "value": "abc"},
        ]
    }
    assert document(data)["Data"] == [
        {"@Name": "TargetUserName", "#text": "[USER_1]"},
        {"name": "password", "value": "[SECRET_1]"},
    ]


def test_numbers_and_keys_are_texts() -> None:
    """A card as a JSON number or an address as a key would be sent."""
    out = document(
        {
            "n": 4111111111111111,
            "f": 4111111111111111.0,
            "ssn": 536904399,
            "phone": 442079460958,
            "a@b.example": 1,
        }
    )
    assert out == {
        "n": "[CARD_1]",
        "f": "[CARD_1]",
        "ssn": "[SSN_1]",
        "phone": "[PHONE_1]",
        "[EMAIL_1]": 1,
    }
    assert document({"count": 17, "ratio": 0.5, "on": True, "off": None}) == {
        "count": 17,
        "ratio": 0.5,
        "on": True,
        "off": None,
    }


def test_keys_that_become_the_same_keep_their_values() -> None:
    """A part of the document would be lost."""
    assert document({"a@b.example": 1, "A@B.example": 2}) == {"[EMAIL_1]": 1, "[EMAIL_1] 2": 2}


CONTENT = '{"mail":"jane@corp.example"}'


@pytest.mark.parametrize(
    "blob",
    [
        base64.b64encode(CONTENT.encode()).decode(),
        base64.urlsafe_b64encode(CONTENT.encode()).decode().rstrip("="),
        base64.b64encode(CONTENT.encode("utf-16-le")).decode(),
        base64.b64encode(base64.b64encode(CONTENT.encode())).decode(),
        CONTENT.encode().hex(),
        quote(CONTENT.replace("@", "%40")),
        quote(quote("password=x1y2z3")),
    ],
)
def test_encoded_values_are_decoded(blob: str) -> None:
    """Stolen data in an attacker's encoded upload would be sent to the model's provider."""
    assert blob not in redacted(f"cmd -enc {blob} end")
    assert "end" in redacted(f"cmd -enc {blob} end")


def test_known_names_are_found_in_encoded_text() -> None:
    """A name that is known only by its field would be sent in base64."""
    blob = base64.b64encode(b"hello qbertson").decode()
    assert document({"user": "qbertson", "data": blob}) == {"user": "[USER_1]", "data": "[USER_2]"}


def test_harmless_base64_stays() -> None:
    """The model could not read a script that it has to judge."""
    blob = base64.b64encode(b"Write-Host hello world from a script").decode()
    assert redacted(f"powershell -enc {blob}") == f"powershell -enc {blob}"


def test_a_value_has_the_same_placeholder_in_all_texts_of_a_redaction() -> None:
    """The model could not know that two lines are about the same person."""
    redaction = Redaction()
    assert redaction.text("a@x.example b@x.example A@X.example") == "[EMAIL_1] [EMAIL_2] [EMAIL_1]"
    assert redaction.text("b@x.example") == "[EMAIL_2]"
    assert redaction.counts == {"email": 2}


def test_values_learned_from_quotations_are_replaced_in_the_event() -> None:
    """A name known from a quoted event would stay in the event, and `verify` would refuse it."""
    redaction = Redaction()
    quoted = Event(id="q", kind="alert", event={"user": "qbertson"})
    main = Event(id="e", kind="alert", text="qbertson again")
    redaction.learn(quoted, main)
    assert redaction.event(main).text == "[USER_1] again"
    redaction.verify(f"[USER_1] again {redaction.event(quoted).event}")


def test_only_the_kinds_in_keep_are_sent() -> None:
    """A policy would be ignored, or it would let out more than it allows."""
    assert redacted("10.0.0.1 a@b.example", "ip") == "10.0.0.1 [EMAIL_1]"
    assert redacted("4111111111111111 password=abc", *VALUE_KINDS) == "[CARD_1] password=[SECRET_1]"
    event = Event(id="e", kind="alert", event={"user": "qbertson", "mail": "qbertson@b.example"})
    assert Redaction(frozenset({"email"})).event(event).event == {
        "user": "[USER_1]",
        "mail": "[USER_1]@b.example",
    }


def test_restore_puts_back_all_but_secrets_and_account_numbers() -> None:
    """The analyst would read placeholders in a summary, or a secret."""
    redaction = Redaction()
    redaction.text("a@b.example 10.0.0.1 4111111111111111 password=abc DE89370400440532013000")
    summary = "[EMAIL_1] from [IP_1] used [CARD_1], [SECRET_1], [IBAN_1], [EMAIL_9] and EMAIL_1"
    expected = (
        "a@b.example from 10.0.0.1 used [CARD_1], [SECRET_1], [IBAN_1], [EMAIL_9] and EMAIL_1"
    )
    assert redaction.restore(summary) == expected


def test_placeholders_in_the_event_are_not_restored() -> None:
    """An attacker's `[EMAIL_1]` would become a customer's address in the summary."""
    redaction = Redaction()
    text = redaction.text(f"[EMAIL_1] [email_1] {wide('[EMAIL_1]')} [ EMAIL_1 ] a@b.example")
    assert text == "(EMAIL_1) (email_1) (EMAIL_1) (EMAIL_1) [EMAIL_1]"
    assert redaction.restore(text).count("a@b.example") == 1


def test_restored_values_are_not_restored_again() -> None:
    """A value that looks like a placeholder would be replaced by another value."""
    redaction = Redaction()
    redaction.text("user='EMAIL_1]' [EMAIL_[EMAIL_1]1] a@b.example x@y.example")
    assert redaction.restore("[EMAIL_1][EMAIL_2]") == "a@b.examplex@y.example"


@pytest.mark.parametrize(
    "outgoing",
    [
        "jane@corp.example", "JANE@CORP.EXAMPLE", "about Qbertson", "fresh@other.example",
        "x 4111111111111111", '{"a":"CORP\\\\qbertson"}', "line\\nqbertson", "password=x9y8z7",
        "j\u200bane@corp.example",
    ],
)  # fmt: skip
def test_verify_refuses_values_that_are_left(outgoing: str) -> None:
    """A mistake in the code that writes the prompt would send a forbidden value."""
    redaction = Redaction()
    redaction.event(
        Event(id="e", kind="alert", text="jane@corp.example", event={"user": "qbertson"})
    )
    redaction.verify("about [USER_1], [EMAIL_1] and (EMAIL_1)")
    with pytest.raises(RedactionFailed) as failure:
        redaction.verify(f"say: {outgoing}")
    assert outgoing not in str(failure.value)


def test_verify_accepts_a_harmless_value_that_was_cut_off() -> None:
    """A document that is cut off within a digest would be refused, as if it held a key."""
    redaction = Redaction()
    digest = (HEX_64[:-1] + "a").replace("0f0f", "a17c")
    out = redaction.event(Event(id="e", kind="alert", event={"sha256": digest}))
    redaction.verify(orjson.dumps(out.event).decode()[:60])


def test_verify_refuses_values_that_were_learned_too_late() -> None:
    """A name known from a quoted event would be sent in an event that was redacted before."""
    redaction = Redaction()
    out = redaction.event(Event(id="e", kind="alert", text="hannelore-von-qbertson again"))
    redaction.event(Event(id="q", kind="alert", event={"user": "hannelore-von-qbertson"}))
    with pytest.raises(RedactionFailed):
        redaction.verify(str(out.text))


def test_after_any_error_the_event_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error the event would be sent unredacted, or the log would show its content."""

    def fail(*_: object) -> str:
        raise ValueError("jane@corp.example")

    monkeypatch.setattr(redaction_module, "normalise", fail)
    uses: list[Callable[[Redaction], object]] = [
        lambda r: r.text("x"),
        lambda r: r.verify("x"),
        lambda r: r.event(Event(id="e", kind="alert", text="x")),
    ]
    for use in uses:
        with pytest.raises(RedactionFailed, match="redaction failed with ValueError") as failure:
            use(Redaction())
        assert "jane" not in str(failure.value)
        assert failure.value.__suppress_context__


def test_too_many_values_or_characters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event would occupy the worker for minutes."""
    with pytest.raises(RedactionFailed, match="too many values"):
        redacted(" ".join(f"u{n}@b.example" for n in range(5_000)))
    monkeypatch.setattr(redaction_module, "MAX_CHARS", 100)
    for text in ("x" * 101, "\ufdfa" * 10):
        with pytest.raises(RedactionFailed, match="too large"):
            redacted(text)


def test_a_redaction_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile event would occupy a thread for a minute and delay every call."""
    monkeypatch.setattr(redaction_module, "MAX_CPU_S", 0.0)
    with pytest.raises(RedactionFailed, match="takes too long"):
        redacted("lorem ipsum " * 10_000)


def test_many_values_in_a_long_text_are_found_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time would grow with values times characters: 2,000 values would take a minute."""
    monkeypatch.setattr(redaction_module, "MAX_CPU_S", 60.0)  # the machine may be a slow one
    names = " ".join(f"user=qb{n}x" for n in range(1_500))
    with within_cpu_s(10):
        assert "qb7x" not in redacted(f"{names} {'qb7x and lorem ' * 5_000}")


@pytest.mark.parametrize(
    "value",
    [
        {"args": ["curl", "-u", "bob:zq9!Lantern", "https://x.example"]},
        {"args": ["psexec", "--password", "zq9!Lantern", "cmd.exe"]},
        {"args": ["/usr/bin/mysql", "-u", "x", "-pzq9!Lantern"]},
        {"field": "password", "old_value": "zq9!Lantern", "new_value": "zq9!Lantern"},
        {"changes": [{"field": "password", "old": "zq9!Lantern", "new": "x"}]},
        {"headers": [["Authorization", "zq9!Lantern"]]},
        {"passwords": ["zq9!Lantern", "x"]},
    ],
)
def test_secrets_beside_their_names(value: dict[str, Any]) -> None:
    """A password in arguments, in a change record or in a list of headers would be sent."""
    assert "Lantern" not in str(document(value))


@pytest.mark.parametrize(
    "text",
    [
        "-DB_PASS = 'zq9!Lantern'", "create secret --from-literal=dbpass=zq9!Lantern",
        "{b'password': b'zq9!Lantern'}", "[('username', 'x'), ('password', 'zq9!Lantern')]",
        'setPassword("zq9!Lantern")', 'password = """zq9!Lantern"""',
        "<password><![CDATA[zq9!Lantern]]></password>", "password: |\n  zq9!Lantern",
        '<add key="DbPassword" value="zq9!Lantern" />',
        'CREATE USER app IDENTIFIED BY "zq9!Lantern"', "redis-cli -h x -a zq9!Lantern PING",
        "requirepass zq9!Lantern", "USER x\nPASS zq9!Lantern\n230 ok",
        "snmp-server community zq9!Lantern RO", "username admin password 7 zq9!Lantern",
        "a senha do app era zq9!Lantern", "Mein Kennwort lautet zq9!Lantern.",
        "session opened for user root by zqLantern(uid=1001)",
        "10.0.0.1 - zqLantern [22/Nov/2026:03:11:09 +0000]", "system:serviceaccount:prod:zqLantern",
        "machine api.example login zqLantern password x",
    ],
)  # fmt: skip
def test_secrets_and_names_in_code_and_protocols(text: str) -> None:
    """A password or a user in a diff, a stack trace or a transcript would be sent."""
    assert "Lantern" not in redacted(text)


@pytest.mark.parametrize("separator", ["\t", ", ", "*", "   "])
def test_groups_of_a_card_in_columns(separator: str) -> None:
    """A card from a table would be sent, or every event with such a table would be refused."""
    redaction = Redaction()
    out = redaction.text(f"card {separator.join(['4111', '1111', '1111', '1111'])} end")
    assert out == "card [CARD_1] end"
    redaction.verify(out)


def test_lists_of_words_and_a_working_directory_stay() -> None:
    """The model would not see which factors a user used, or where a command ran."""
    value = {"factors": ["password", "totp"], "args": ["ssh", "-p", "2222"], "env": ["PWD=/home/x"]}
    assert document(value)["factors"] == ["password", "totp"]
    assert document(value)["args"] == ["ssh", "-p", "2222"]
    assert "SECRET" not in str(document(value))


def test_values_nested_too_deep_are_left_out() -> None:
    """A deeply nested document would raise a RecursionError, or be sent without a check."""
    nested: Any = "jane@corp.example"
    for _ in range(500):
        nested = {"a": [nested]}
    assert "jane" not in str(document({"a": nested}))


@pytest.mark.parametrize(
    "unit",
    [
        "a", "a@", "1 ", "1-", "a=", "pw=", "user='", 'token="', "-----BEGIN PRIVATE KEY-----",
        "-eyJ", "://a:", "a/b:", "\\", "%41 ", "&#64;", "a [at] ", "(", "[EMAIL_1]",
        "QUFBQUFBQUFBQUFBQUFBQUFB ", "DE89 ", "+1 212 ", "mysql ", "net use ", "cookie", "aB3",
        "\u200b", "ff:", "user ", "12 34 56 x ", "a_", "ldapsearch -w ", "password to ",
        "sqlplus a/",
        "пароль ", "密码 ", "a,password\n", "| password | b |\n", "insert into t (a) values (",
        "password was changed ", "https://a.example/login?a=", '\\"', "\\n", "a:5432:b:c:", "auth=",
        "a1\n",
        "smbclient -U a%", "password for ", "echo a | ", "\u0430", "login a password ", "a/b1@",
    ],
)  # fmt: skip
def test_hostile_repetition_takes_linear_time(unit: str) -> None:
    """A hostile text would stop the worker for minutes."""
    with within_cpu_s(5):
        try:
            redacted((unit * 30_000)[:30_000])
        except RedactionFailed as failure:
            assert "too" in str(failure)  # noqa: PT017 - a refusal in time is as good as a result


def test_planted_values_are_found_without_redaction() -> None:
    """The check for planted values could not fail."""
    for event, planted in planted_events(80, seed=6):
        raw = "\n".join(filter(None, [event.title, event.text, event.body]))
        outgoing = f"{raw}\n{orjson.dumps([event.event, event.attributes]).decode()}"
        assert len(arrived(planted, outgoing)) >= len(planted) / 2


def test_no_field_of_an_event_keeps_its_values() -> None:
    """A field that the event has beside its texts would be quoted with what must not be sent."""
    mail = "jane.doe@corp.example"
    event = Event(
        id="e",
        kind="alert",
        text=mail,
        title=mail,
        body=mail,
        source=mail,
        occurred_at=mail,
        event={"a": mail},
        link=f"https://desk.example.com/?user={mail}",
        cut_off=f"-- \n{mail}",
        key_fields={"actor": mail, mail: "x"},
        stated=Stated(severity="high", original={"severity": f"high, says {mail}"}),
        attributes={"a": mail},
    )
    shown = Redaction().event(event)
    assert mail not in str(shown)
    assert shown.key_fields == {"actor": "[EMAIL_1]", "[EMAIL_1]": "x"}
    assert shown.stated == Stated(severity="high")
    sent_as_they_are = {"id", "kind", "tenant"}
    with_value = {name for name in Event.__struct_fields__ if mail in str(getattr(event, name))}
    assert with_value == set(Event.__struct_fields__) - sent_as_they_are, "a new field is not tried"
