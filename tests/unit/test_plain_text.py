"""What a person reads of a text: markup, quotes, signatures and notices are taken off."""

import json
from pathlib import Path

import pytest

from schemas.formats.text import PlainText, plain

CASES = Path(__file__).parents[3] / "shared" / "cases" / "tickets.ndjson"


def words(text: str) -> str:
    """The words of a ticket."""
    return plain("ticket", text).words


# --- HTML ---------------------------------------------------------------------------------------

HTML = {
    "document": (
        (
            "<!DOCTYPE html><html><head><title>Mail</title><style>p{color:red}</style></head><body>"
            "<div>I lost my card on the train,<br>please block "
            "it</div><script>x()</script></body></html>"
        ),
        "I lost my card on the train,\nplease block it",
    ),
    "paragraphs": ("<p>One.</p><p>Two.</p>", "One.\n\nTwo."),
    "outlook": (
        (
            '<html xmlns:o="urn:schemas-microsoft-com:office:office"><body><!--[if mso]><p>no</p>'
            '<![endif]--><p class="MsoNormal">I lost<o:p></o:p> my '
            "card&nbsp;today</p></body></html>"
        ),
        "I lost my card today",
    ),
    "comment that shows": ("<p><!--[if !mso]><!-->seen<!--<![endif]--></p>", "seen"),
    "preheader": (
        (
            '<body><div style="display:none;max-height:0">Hidden teaser</div><p>I '
            "lost my card</p></body>"
        ),
        "I lost my card",
    ),
    "hidden attribute": ("<div><span hidden>no</span>yes</div>", "yes"),
    "a class is not hidden": ('<div class="x hidden-print y">yes</div>', "yes"),
    "hidden without an end": ('<div><div style="display:none">I lost my card', "I lost my card"),
    "list": ("<ul><li>one</li><li><p>two</p></li></ul>", "- one\n- two"),
    "table": (
        "<table>\n<tr>\n<td>Order</td><td>4711</td>\n</tr>\n<tr><th>Sum</th><td>5</td></tr></table>",
        "Order 4711\nSum 5",
    ),
    "entities": (
        "<p>1 &lt; 2 &amp;lt; &#8364; &euro; ?a=1&copy=2</p>",
        "1 < 2 &lt; € € ?a=1&copy=2",
    ),
    "link": ('<p>See <a href="https://x.example/y?z=1">the page</a>.</p>', "See the page."),
    "attribute with an end": ('<p><img alt="a > b" src="x">text</p>', "text"),
    "only a picture": (
        '<div><img src="x" alt="Screenshot of the error 5"></div>',
        "Screenshot of the error 5",
    ),
    "emoji": ('<div>ok <img class="emoji" alt="👍" src="x"></div>', "ok 👍"),
    "white space": (
        "<div>\n  I lost\n  my   card\n</div>\n\n<div>today</div>",
        "I lost my card\ntoday",
    ),
    "formatted": ("<p>Log:</p><pre>a\n  b\n\nc</pre>", "Log:\n\na\n  b\n\nc"),
    "breaks alone": (
        "Hello,<br/>I lost my card<br><br>please block it",
        "Hello,\nI lost my card\n\nplease block it",
    ),
    "inline alone": ("I <b>really</b> lost\nmy card", "I really lost\nmy card"),
    "escaped by the desk": ("&lt;p&gt;I lost my card&lt;/p&gt;", "I lost my card"),
    "empty": ("<div><br></div>", ""),
    "address inside": (
        "<p>From D <m@example.com> about List<String></p>",
        "From D <m@example.com> about List<String>",
    ),
    "uppercase": ("<P>I LOST</P><BR>MY CARD", "I LOST\n\n\nMY CARD"),
}


@pytest.mark.parametrize(("html", "expected"), HTML.values(), ids=HTML)
def test_html_becomes_text(html: str, expected: str) -> None:
    """The model would read tags, styles and hidden teasers as words of the customer."""
    assert plain("ticket", html) == PlainText(expected, "")


NOT_HTML = (
    "The form accepts <script>alert(1)</script> in the comment field",
    "Blocked file <invoice.js> in <C:\\Users\\k>",
    "a < b and c > d",
    "if x <b and c> d then fail",
    "List<String> and Map<a, b> and vector<int>",
    "From <m@example.com> to <n@example.com>",
    "<invoice.js> was blocked",
    "<img src=x onerror=alert(1)> was sent as the name of a user",
    "<script>alert(1)</script>",
    "<iframe src='https://evil.example'></iframe> was found in page 4",
    "Payload: <svg/onload=alert(1)>",
    "<?php system($_GET['c']); ?> was written to shell.php",
    "2 << 3, x >> y, <- and ->, <3 <3 <3",
    "GET /?q=%3Cscript%3E HTTP/1.1\nHost: x",
    "<134>May  2 10:11:12 fw01 CEF:0|ExampleFW|UTM",
    "AT&T and a&b; R&D",
)


@pytest.mark.parametrize("text", NOT_HTML)
@pytest.mark.parametrize("kind", ["alert", "ticket"])
def test_a_text_that_mentions_tags_is_no_html(text: str, kind: str) -> None:
    """The evidence of an alert would vanish before anybody reads it."""
    assert plain(kind, text) == PlainText(text, "")  # type: ignore[arg-type]


def test_scripts_in_a_piece_of_html_are_evidence() -> None:
    """An alert whose description is formatted would lose the script that it is about."""
    text = "<p>The field held <script>alert(1)</script> and <img src=x onerror=y></p>"
    assert "<script>alert(1)</script>" in plain("alert", text).words
    assert "The field held" in plain("alert", text).words
    page = "<html><head><style>x</style></head><body>a<script>alert(1)</script></body></html>"
    assert words(page) == "a"
    assert plain("alert", page).words == "a<script>alert(1)</script>"
    assert plain("alert", "<title>phpMyAdmin").words == "<title>phpMyAdmin"
    assert plain("alert", "<p><br></p>").words == "<p><br></p>"


def test_the_body_of_a_mail_keeps_what_stands_behind_an_open_comment() -> None:
    """A comment without an end would hide the whole message."""
    assert words("<p>I lost</p><!-- <p>my card</p>").split()[:2] == ["I", "lost"]
    assert "my card" in words("<p>I lost</p><!-- <p>my card</p>")


def test_numbers_of_thousands_of_digits_are_no_characters() -> None:
    """The standard library raises ValueError on such a reference, which would stop the worker."""
    text = "<p>&#" + "9" * 5_000 + "; x</p>"
    assert words(text).endswith("; x")
    assert words("<p>&#99999999; &#x110000; &#55357;</p>").isprintable()


def test_links_and_fences_of_markdown_lose_their_addresses() -> None:
    """The address of a link would count as words that the model was never taught."""
    assert (
        words("See [the page](https://x.example/a_(b)?c=d) and ![shot](https://x.example/1.png)!")
        == "See the page and !"
    )
    assert (
        words("See [the page|https://x.example/a] and !shot.png|thumbnail!") == "See the page and "
    )
    assert words("Log:\n```python\nerror 5\n```\nend") == "Log:\nerror 5\nend"
    assert words("{code:java}x = 1{code}") == "x = 1"
    assert words("{code} is missing in the {color} template") == (
        "{code} is missing in the {color} template"
    )
    assert words("See <https://x.example|the page>, <@U123|dana>") == "See the page, @dana"
    assert words("array[5](x) and f[i](https") == "array[5](x) and f[i](https"
    assert words("Wow! That is a.b! Yes.") == "Wow! That is a.b! Yes."


# --- Quoted replies -----------------------------------------------------------------------------

MESSAGE = "I can't log in.\nPlease help me with it."
QUOTED = "> your refund was sent\n> to your card\n>\n> Support"
UNQUOTED = "your refund was sent to your card"

ATTRIBUTIONS = (
    "On Mon, 3 Mar 2031 10:02:03 -0200 Support <support@example.com> wrote",
    "Monday, 3 March 2031, 10:02 AM +0300 from Support <support@example.com>:",
    "On Mon, 3 Mar 2031 at 10:02, Support wrote:",
    "On Mon, Mar 3, 2031 at 10:02 AM Support Team <support@example.com> wrote:",
    (
        "On Mon, Mar 3, 2031 at 10:02 AM Support Team with a long name of its "
        "own\n<support@example.com> wrote:"
    ),
    "On 3 Mar 2031, at 10:02, Support <support@example.com>\nwrote:",
    "On 03/03/2031 10:02, Support wrote:",
    "Am 03.03.2031 um 10:02 schrieb Support:",
    "Am Mo., 3. März 2031 um 10:02 Uhr schrieb Support <support@example.com>:",
    "Am Mo., 3. März 2031 um 10:02 Uhr schrieb Support Team GmbH\n<support@example.com>:",
    "Am 03.03.2031 um 10:02 hat Support <support@example.com> geschrieben:",
    "Le lun. 3 mars 2031 à 10:02, Support <support@example.com> a écrit :",
    "Le 03/03/2031 à 10:02, Support a écrit :",
    "Le lun. 3 mars 2031 à 10:02, Support <support@example.com> a\nécrit :",
    "El lun, 3 mar 2031 a las 10:02, Support (<support@example.com>) escribió:",
    "El 3/3/2031 a las 10:02, Support escribió:",
    "Em seg., 3 de mar. de 2031 às 10:02, Support <support@example.com> escreveu:",
    "Em 03/03/2031 10:02, Support escreveu:",
    "A 03/03/2031 10:02, Support escreveu:",
    "2031-03-03 10:02 GMT+01:00 Support <support@example.com>:",
    "Support <support@example.com> wrote on 03/03/2031 10:02:",
)


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
@pytest.mark.parametrize("quote", [QUOTED, UNQUOTED], ids=["quoted", "unquoted"])
def test_what_a_reply_quotes_is_cut_off(attribution: str, quote: str) -> None:
    """The ticket would be labelled by the mail that it answers."""
    if quote == UNQUOTED and "wrote on" in attribution:
        pytest.skip("without a quote, a person could have written this line")
    text = f"{MESSAGE}\n\n{attribution}\n\n{quote}\n"
    found = plain("ticket", text)
    assert found.words == MESSAGE
    assert found.cut_off == f"{attribution}\n\n{quote}"


HEADERS = (
    "From: s@example.com\nTo: d@example.com, e@example.com\nSent: Monday 10:02\nSubject: RE",
    "De : S <s@example.com>\nÀ : D <d@example.com>\nEnvoyé le : Lundi 3 mars 2031\nObjet : Re",
    "Date: Mon, 3 Mar 2031 10:02:03 +0100\nSubject: RE\nFrom: s@example.com\nTo: d@example.com",
    "---- On Mon, 3 Mar 2031 10:02:03 +0100 s@example.com wrote ----",
    "Gesendet: Montag, 3. März 2031 um 10:02 Uhr\nVon: Support <s@example.com>\nAn: D\nBetreff: x",
    (
        "From: Support <support@example.com>\n"
        "Sent: Monday, 3 March 2031 10:02\nTo: D\nSubject: RE: refund"
    ),
    (
        "*From:* Support <support@example.com>\n"
        "*Sent:* Monday, 3 March 2031 10:02\n*To:* D\n*Cc:* E\n"
        "*Subject:* RE: refund"
    ),
    "**From:** Support\n**Date:** Monday, 3 March 2031\n**To:** D\n**Subject:** RE: refund",
    (
        "________________________________\n"
        "Von: Support <support@example.com>\n"
        "Gesendet: Montag, 3. März 2031 10:02\nAn: D\nBetreff: AW: Erstattung"
    ),
    (
        "De : Support <support@example.com>\n"
        "Envoyé : lundi 3 mars 2031 10:02\nÀ : D\nObjet : RE: remboursement"
    ),
    (
        "De: Support <support@example.com>\n"
        "Enviado: lunes, 3 de marzo de 2031 10:02\nPara: D\n"
        "Asunto: RE: reembolso"
    ),
    (
        "De: Support <support@example.com>\n"
        "Enviado el: lunes, 3 de marzo de 2031 10:02\n"
        "Para: D <d@example.com>;\n e@example.com\nAsunto: RE: reembolso"
    ),
    (
        "De: Support <support@example.com>\n"
        "Enviado: segunda-feira, 3 de março de 2031 10:02\nPara: D\n"
        "Assunto: RE: reembolso"
    ),
    (
        "De: Support <support@example.com>\n"
        "Enviada em: segunda-feira, 3 de março de 2031 10:02\nPara: D\n"
        "Assunto: RE: reembolso"
    ),
    "-----Original Message-----\nFrom: Support\nSent: Monday\nTo: D\nSubject: RE",
    "-----Ursprüngliche Nachricht-----\nVon: Support\nGesendet: Montag\nAn: D\nBetreff: AW",
    "-----Message d'origine-----\nDe : Support\nEnvoyé : lundi\nÀ : D\nObjet : RE",
    (
        "-----Message d\u2019origine-----\nDe\u00a0: Support\n"
        "Envoyé\u00a0: lundi\nÀ\u00a0: D\nObjet\u00a0: RE"
    ),
    "-----Mensaje original-----\nDe: Support\nEnviado el: lunes\nPara: D\nAsunto: RE",
    "-----Mensagem original-----\nDe: Support\nEnviada em: segunda\nPara: D\nAssunto: RE",
    (
        "---------- Forwarded message ---------\n"
        "From: Support <support@example.com>\n"
        "Date: Mon, 3 Mar 2031 at 10:02\nSubject: refund\nTo: <d@example.com>"
    ),
    (
        "---------- Weitergeleitete Nachricht ---------\n"
        "Von: Support <support@example.com>\nDate: Mo., 3. März 2031\n"
        "Subject: x\nTo: <d@example.com>"
    ),
    (
        "Begin forwarded message:\n\nFrom: Support <support@example.com>\n"
        "Subject: refund\nDate: 3 March 2031 at 10:02:03 CET\nTo: d@example.com"
    ),
    "From: Support <support@example.com> Sent: Monday, 3 March 2031 10:02 To: D Subject: RE: card",
    "##- Please type your reply above this line -##",
    "##- Bitte geben Sie Ihre Antwort oberhalb dieser Zeile ein -##",
    "--- Reply above this line ---",
)


@pytest.mark.parametrize("header", HEADERS)
def test_the_mail_below_a_header_is_cut_off(header: str) -> None:
    """The ticket would be labelled by the mail that it answers."""
    found = plain("ticket", f"{MESSAGE}\n\n{header}\n\n{UNQUOTED}\n\n> older\n")
    assert found.words == MESSAGE
    assert found.cut_off == f"{header}\n\n{UNQUOTED}\n\n> older"


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("above", ["", "FYI\n\n", "Sent from my iPhone\n\n"])
def test_of_a_mail_that_is_only_passed_on_the_body_is_read(header: str, above: str) -> None:
    """A customer's mail that a colleague passes on would have no words, or "FYI" alone."""
    found = plain("ticket", f"{above}{header}\n\nI lost my card.\n\nBest regards,\nDana Example\n")
    assert found.words.replace("FYI", "").strip() == "I lost my card."
    assert "Dana Example" in found.cut_off
    assert header.splitlines()[0] in found.cut_off


def test_answers_between_and_below_the_quote_are_kept() -> None:
    """The customer's answer would be cut off together with the question."""
    attribution = "On Mon, 3 Mar 2031 at 10:02, Support wrote:"
    found = plain("ticket", f"{attribution}\n> Which card?\nThe blue one.\n> When?\nOn Friday.\n")
    assert found.words == "The blue one.\nOn Friday."
    assert found.cut_off == f"{attribution}\n> Which card?\n> When?"


def test_a_reply_without_words_keeps_what_it_quotes() -> None:
    """The event would have nothing to read and end as a dead letter."""
    text = "On Mon, 3 Mar 2031 at 10:02, D wrote:\n> I lost my card\n>> which one?\n"
    assert words(text) == "I lost my card\n> which one?"


def test_a_quote_that_has_its_attribution_inside_is_cut_off() -> None:
    """Apple's mail program quotes the line that says who wrote too."""
    quote = "> On 3 Mar 2031, at 10:02, Support <s@example.com> wrote:\n> \n> your refund was sent"
    assert plain("ticket", f"I lost my card.\n\n{quote}") == ("I lost my card.", quote)


def test_a_header_inside_a_quote_introduces_it() -> None:
    """Some programs quote the header of the mail that they answer."""
    quote = "> Subject: RE\n> From: s@example.com\n> Date: Mon, 3 Mar 2031\n>\n> your refund"
    assert plain("ticket", f"I lost my card.\n\n{quote}") == ("I lost my card.", quote)


HTML_QUOTES = (
    (
        '<div>{}</div><div class="gmail_quote"><div class="gmail_attr">On Mon, '
        "3 Mar 2031 at 10:02, S "
        "wrote:<br></div><blockquote>your refund</blockquote></div>"
    ),
    (
        "<div>{}</div><div>On 3 Mar 2031, at 10:02, S wrote:</div><blockquote "
        "type='cite'><div>your "
        "refund</div></blockquote>"
    ),
    "<p>{}</p><p>Am 03.03.2031 um 10:02 schrieb S:</p><blockquote>Ihre Erstattung</blockquote>",
    (
        '<html><body><p>{}</p><hr><div id="divRplyFwdMsg" dir="ltr"><b>From:</b> S<br><b>Sent:</b> '
        "Monday<br><b>To:</b> D<br><b>Subject:</b> RE</div><div>your refund</div></body></html>"
    ),
    (
        '<html><body><p>{}</p><div style="border-top:solid #E1E1E1 1.0pt"><p '
        'class="MsoNormal"><b>Von:'
        "</b> S &lt;s@example.com&gt;<br><b>Gesendet:</b> Montag<br><b>An:</b> "
        "D<br><b>Betreff:</b> AW"
        "</p></div><p>Ihre Erstattung</p></body></html>"
    ),
    '<div>{}</div><div class="yahoo_quoted">On Monday S wrote: your refund</div>',
    '<div>{}</div><div class="gmail_signature">Dana Example<br>Head of Purchasing</div>',
    '<div>{}</div><div id="Signature"><p>Dana</p></div><div id="appendonsend"></div><div>old</div>',
    "<div>{}</div><div><br></div><div>--&nbsp;<br>Dana Example<br>Tel +44 20 7946 0000</div>",
)


@pytest.mark.parametrize("html", HTML_QUOTES)
def test_what_the_markup_calls_a_quote_or_signature_is_cut_off(html: str) -> None:
    """The ticket would be labelled by what its mail program quotes."""
    found = plain("ticket", html.format("I lost my card."))
    assert found.words == "I lost my card."
    assert found.cut_off


def test_a_forwarded_html_mail_keeps_its_body() -> None:
    """A mail that a program marks as a quote from its first line on would have no words."""
    html = (
        '<div dir="ltr"><br><div class="gmail_quote"><div class="gmail_attr">---------- Forwarded '
        "message ---------<br>From: D &lt;d@example.com&gt;<br>Date: Mon<br>Subject: card<br>To: S"
        "<br></div><div>I lost my card.</div></div></div>"
    )
    assert words(html) == "I lost my card."


# --- Signatures, notices and footers ------------------------------------------------------------

SIGNATURES = (
    "Cheers \U0001f389\nSarah\n\u2014\u2014\u2014\nSarah Example\n\U0001f4e7 sarah@example.com",
    "__\nexample-users mailing list\nexample-users@example.com\nhttps://lists.example.com/x",
    "Mit freundlichen Grüßen / Best regards\n\nDana Beispiel\nGeschäftsführer: A. Muster\nHRB 123",
    "Muchas gracias y un saludo,\nDana",
    "Best\n\nDana Example\nSenior Manager of Customer Support Operations and Things, Example Ltd",
    "Gruß Dana",
    (
        "Thanks and regards\n\nDana | Purchasing\n\nT: +44 20 7946 0000\n\n"
        "Example Ltd is registered in"
        " England No 123456.\n\n[cid:image001.png@01D9]"
    ),
    "P Please consider the environment before printing this email.",
    "Virus-free. www.example.com",
    "-- \nDana Example\nHead of Purchasing | Example Ltd\nTel +44 20 7946 0000",
    "--\nDana Example\nExample Ltd, 12 Example Street, London",
    "Sent from my iPhone",
    "Get Outlook for iOS<https://aka.ms/o0ukef>",
    "Von meinem iPhone gesendet",
    "Gesendet von meinem Samsung Galaxy Smartphone.",
    "Envoyé de mon iPhone",
    "Enviado desde mi iPhone",
    "Enviado do meu iPhone",
    "Best regards,\nDana Example",
    (
        "Kind regards\n\nDana Example\nHead of Purchasing\nExample Ltd\n"
        "12 Example Street, London\n+44 20 7946 0000\nwww.example.com"
    ),
    "Thanks,\nDana",
    "Many thanks, Dana",
    "Best regards, Dana Example",
    "Cheers\nD.",
    (
        "Mit freundlichen Grüßen\n\ni. A. Dana Beispiel\nLeiterin Einkauf\n"
        "Beispiel GmbH\nTelefon: +49 30 901820\nSitz: Berlin"
    ),
    "Viele Grüße\nDana",
    "MfG Dana Beispiel",
    "Vielen Dank,\nDana Beispiel",
    "Cordialement,\n\nDana Exemple\nDirectrice des achats\nTél. : +33 1 99 00 12 34",
    "Bien à vous\nDana",
    "Saludos,\nDana Ejemplo\nJefa de Compras",
    "Un saludo cordial\nDana",
    "Atenciosamente,\nDana Exemplo\nGerente de Compras | Exemplo Lda\ndana@example.com",
    "Obrigado,\nDana",
    "Best regards,",
    (
        "This e-mail is confidential and intended only for the addressee. If "
        "you are not the intended recipient please delete it."
    ),
    (
        "Confidentiality notice: This message may be privileged. If you have "
        "received this message in\n"
        "error, please notify the sender and delete it. No liability is "
        "accepted for any virus."
    ),
    (
        "Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der "
        "richtige Adressat sind,\n"
        "informieren Sie bitte den Absender und löschen Sie diese Mail."
    ),
    (
        "Ce message est confidentiel et réservé à son destinataire. Si vous "
        "l'avez reçu par erreur, merci d'avertir l'expéditeur."
    ),
    (
        "Este mensaje es confidencial y va dirigido a su destinatario. Si lo "
        "ha recibido por error, avise al remitente."
    ),
    (
        "Esta mensagem é confidencial e destina-se ao destinatário. Se a "
        "recebeu por engano, avise o remetente."
    ),
    "Please consider the environment before printing this e-mail. It may be confidential.",
    "To unsubscribe click here: https://example.com/u",
    "Sie erhalten diese E-Mail, weil Sie sich angemeldet haben. Hier klicken zum Abmelden.",
    "Pour vous désinscrire, cliquez ici.",
    "Para darse de baja, haga clic aquí.",
    "Para cancelar a inscrição, clique aqui.",
    (
        "Best regards,\nDana Example\n\nSent from my iPhone\n\n"
        "This e-mail is confidential and intended only for the addressee."
    ),
)


@pytest.mark.parametrize("signature", SIGNATURES)
def test_signatures_and_notices_are_cut_off(signature: str) -> None:
    """The names and notices below a message would change its label, or let it count as unusual."""
    found = plain("ticket", f"{MESSAGE}\n\n{signature}\n")
    assert found.words == MESSAGE
    assert found.cut_off == signature


def test_a_postscript_below_a_signature_is_kept() -> None:
    """The second thing that the customer wants would be cut off with the name."""
    found = plain("ticket", "I lost my card.\n\nBest regards,\nDana\n\nPS: my PIN is blocked too.")
    assert found.words == "I lost my card.\n\nPS: my PIN is blocked too."
    assert found.cut_off == "Best regards,\nDana"


def test_a_warning_above_a_message_is_cut_off() -> None:
    """The words of a mail gateway would stand first in what the model reads."""
    banner = "CAUTION: This email originated from outside of the organization. Do not click links."
    assert plain("ticket", f"{banner}\n\nI lost my card.") == ("I lost my card.", banner)


KEPT = (
    "I lost my card\n_\n*\n>\n:\nxx",
    "On the site on 03/03/2031 I saw this, the agent wrote:\n> you will get it\nbut I did not",
    "Dear team,\n\nyour colleague wrote on 3 March:\n> it arrives soon\n\nIt did not arrive.",
    "Look at this mail:\n\nFrom: a@example.com\nTo: b@example.com\nDate: Mon, 3 Mar 2031\n\nSpam?",
    "Traceback:\n  File x, line 5\nValueError: On 2031-03-03 10:02 <a@b> wrote:\n",
    "Hi\n\nVon: Berlin\nNach: Paris\nDatum: 3. Mai\nIch möchte buchen",
    "Name: Dana\nEmail: d@example.com\nSubject: Card\nMessage: I lost my card",
    "> I lost my card\n\nwhich one?",
    "# Title\n\n---\nname: x\nvalue: y\n---\nbody",
    "My card is lost\n\n--\nDana\n\nPlease note that I am on holiday until Monday",
    "Thanks for the quick help yesterday,\nBest would be a new card\nand regards to your team",
    "From: the app I cannot pay\nIt says error 5\nSubject to what?",
    "From: Berlin\nTo: Paris\nDate: 3 May\nI want to book this trip.",
    "From: Dana\nSubject: my card",
    "First problem: card lost\n--\nSecond problem: charged twice",
    "I ran the tool --\nit failed -- twice\n--verbose did not help\n-- no effect at all",
    "I get this error:\n> cannot open file\n> code 5\nWhat should I do?",
    "I get this error:\n> cannot open file\n> code 5",
    "I ran\n> net use z:\n> dir\nand it failed",
    "$ cat x\n>>> import os\n>>> os.stat('x')\nOSError: 5",
    "On Monday I wrote: please close my account.\nNobody answered.",
    "On Monday I wrote:\nplease close my account.\nNobody answered.",
    "On 3 March 2031 at 10:02 I wrote:\nplease close my account.",
    "On 3 March 2031 at 10:02 your agent wrote:\nwe will refund you. Where is it?",
    "On 3 March 2031 at 10:02 the agent wrote:\nwe will refund you. Where is it?",
    "The agent wrote on 3 March 2031 at 10:02:\nwe will refund you. Where is it?",
    "Cheers Mate\nWhere is my card?",
    "I met Dana\nRegards are not enough",
    "My problem\n\nThis message is shown: not confidential, the sender is virus",
    "Steps:\n- log in\n- click pay\n-- it fails\n- end",
    "What I sent:\n\nName: Dana\nTel: +44 20 7946 0000\nThanks",
    "Am 3. März 2031 um 10:02 schrieb mir Ihr Mitarbeiter:\nSie erhalten Geld",
    "Am Montag schrieb ich:\nbitte kündigen.\nNiemand antwortet.",
    "Le 3 mars j'ai écrit :\nfermez mon compte.",
    "Sent from my iPhone is written under all my mails, how do I remove it?\nPlease help",
    "I cannot pay.\nSent from my phone I could not pay either, please help",
    "Please unsubscribe me from your list.\nUnsubscribe does not work.",
    "My problem\n\nTo unsubscribe I clicked the link but I still get mails here.",
    (
        "My transfer is wrong.\n\n"
        "This message from your app is confidential: my intended recipient got "
        "nothing"
    ),
    "Hi,\nthank you",
    "My card is lost\nThank you very much",
    "Regards",
    "Best Buy charged me twice\nI want my money",
    "Best regards,\nDana",
    "I have two questions.\n\nThanks,\nI lost my card.\nPlease block it.",
    "It hangs here:\n----------\nstep 1 done\nstep 2 failed\n----------",
    "Dear team,\n\nI lost my card\n\nDana",
    "A\n\n\nB\n",
    "PIN 1234 does not work: why?\n1) tried twice\n2) blocked",
    "The original message said no.\nForwarded message was lost.",
    "Email: d@example.com\nDate: 3 May\nSubject: card\nI lost it",
    "Kind regards is what the bot says instead of answering\nWhat now?",
)


@pytest.mark.parametrize("text", KEPT)
def test_words_of_the_message_are_never_cut(text: str) -> None:
    """The customer's own words would be lost before anybody reads them."""
    assert plain("ticket", text) == PlainText(text, "")


@pytest.mark.parametrize(
    "text", [f"{MESSAGE}\n\n{ATTRIBUTIONS[0]}\n{QUOTED}", f"{MESSAGE}\n\n{SIGNATURES[0]}"]
)
def test_nothing_is_cut_off_an_alert(text: str) -> None:
    """An alert about a mail would lose the mail."""
    assert plain("alert", text) == PlainText(text, "")


def test_windows_line_ends_are_read() -> None:
    """A mail as it comes from the wire would keep its signature."""
    assert words("I lost my card.\r\n\r\n-- \r\nDana\r\n") == "I lost my card."
    assert words("I lost my card.\r\nPlease help.\r\n") == "I lost my card.\r\nPlease help.\r\n"


@pytest.mark.skipif(not CASES.exists(), reason="the cases lie beside the checkout")
def test_the_words_of_the_cases() -> None:
    """These inputs lost their decision to markup, quotes and signatures."""
    expected = {
        "html body": "I lost my card on the train,\nplease block it",
        "quoted reply": "I can't log in.",
        "Outlook quote": "I can't log in.",
        "signature and disclaimer": "I lost my card on the train, please block it",
    }
    found = {}
    for line in CASES.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if case["fault"] in expected:
            record = case["record"]
            found[case["fault"]] = words(record.get("text") or record["body"])
    assert found == expected
