"""What mail programs and help desks add to a message, in five languages."""

import html
import random
from collections.abc import Callable
from typing import NamedTuple


class Language(NamedTuple):
    """The habits of one language."""

    sentences: tuple[str, ...]
    attributions: tuple[str, ...]
    headers: tuple[str, ...]
    closings: tuple[str, ...]
    names: tuple[str, ...]
    contacts: tuple[str, ...]
    devices: tuple[str, ...]
    notices: tuple[str, ...]
    footers: tuple[str, ...]


ENGLISH = Language(
    sentences=(
        "I lost my card on the train, please block it.",
        "Can you tell me when my refund arrives?",
        "The app says error 5 and closes again.",
        "Thanks for your quick help yesterday, best team ever.",
        "I was charged twice on 3 March for order 4837.",
        "Best would be a new card as soon as possible",
    ),
    attributions=(
        "On Mon, 3 Mar 2031 at 10:02, Support wrote:",
        "On Mon, Mar 3, 2031 at 10:02 AM Support <support@example.com> wrote:",
        "On 3 Mar 2031, at 10:02, Support Team <support@example.com>\nwrote:",
    ),
    headers=(
        (
            "From: Support <support@example.com>\n"
            "Sent: Monday, 3 March 2031 10:02\nTo: Dana\nSubject: RE: card"
        ),
        (
            "*From:* Support\n*Sent:* Monday, 3 March 2031 10:02\n*To:* Dana\n"
            "*Cc:* Lee\n*Subject:* RE: card"
        ),
        "-----Original Message-----\nFrom: Support\nSent: Monday\nTo: Dana\nSubject: RE: card",
    ),
    closings=("Best regards,", "Kind regards", "Many thanks,", "Sincerely,", "Cheers,"),
    names=("Dana Example", "D. Example", "Dana"),
    contacts=(
        "Head of Purchasing | Example Ltd",
        "Tel +44 20 7946 0000",
        "www.example.com",
        "12 Example Street, London",
    ),
    devices=(
        "Sent from my iPhone",
        "Get Outlook for Android<https://aka.ms/x>",
        "Sent from Mail for Windows",
    ),
    notices=(
        (
            "This e-mail is confidential and intended only for the addressee. "
            "Please delete it otherwise."
        ),
        (
            "Confidentiality notice: if you are not the intended recipient of this "
            "message,\nplease notify the sender."
        ),
    ),
    footers=(
        "To unsubscribe click here: https://example.com/u",
        ("You are receiving this email because you have an account here."),
    ),
)
GERMAN = Language(
    sentences=(
        "Ich habe meine Karte im Zug verloren, bitte sperren.",
        "Wann kommt meine Erstattung an?",
        "Die App zeigt Fehler 5 und schließt sich wieder.",
        "Danke für die schnelle Hilfe, viele Grüße an das Team von gestern.",
        "Am 3. März wurde mir die Bestellung 4837 zweimal berechnet.",
        "Am besten wäre eine neue Karte",
    ),
    attributions=(
        "Am 03.03.2031 um 10:02 schrieb Support:",
        "Am Mo., 3. März 2031 um 10:02 Uhr schrieb Support <support@example.com>:",
        "Am Mo., 3. März 2031 um 10:02 Uhr schrieb Support Team\n<support@example.com>:",
    ),
    headers=(
        (
            "Von: Support <support@example.com>\n"
            "Gesendet: Montag, 3. März 2031 10:02\nAn: Dana\nBetreff: AW: Karte"
        ),
        (
            "-----Ursprüngliche Nachricht-----\nVon: Support\nGesendet: Montag\n"
            "An: Dana\nBetreff: AW: Karte"
        ),
    ),
    closings=("Mit freundlichen Grüßen", "Viele Grüße,", "Beste Grüße", "MfG", "Vielen Dank,"),
    names=("Dana Beispiel", "D. Beispiel", "Dana"),
    contacts=(
        "Leiterin Einkauf | Beispiel GmbH",
        "Telefon: +49 30 901820",
        "www.example.com",
        "Beispielstraße 12, Berlin",
    ),
    devices=("Von meinem iPhone gesendet", "Gesendet von meinem Samsung Galaxy Smartphone."),
    notices=(
        (
            "Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der "
            "richtige Adressat sind,\ninformieren Sie bitte den Absender."
        ),
        "Der Inhalt dieser Nachricht ist vertraulich und nur für den Empfänger bestimmt.",
    ),
    footers=("Sie erhalten diese E-Mail, weil Sie sich angemeldet haben.",),
)
FRENCH = Language(
    sentences=(
        "J'ai perdu ma carte dans le train, veuillez la bloquer.",
        "Quand arrive mon remboursement ?",
        "L'application affiche l'erreur 5 et se ferme.",
        "Merci pour votre aide rapide, cordialement saluée par tous.",
        "Le 3 mars, la commande 4837 a été débitée deux fois.",
    ),
    attributions=(
        "Le lun. 3 mars 2031 à 10:02, Support <support@example.com> a écrit :",
        "Le 03/03/2031 à 10:02, Support a écrit :",
        "Le lun. 3 mars 2031 à 10:02, Support Équipe <support@example.com> a\nécrit :",
    ),
    headers=(
        (
            "De : Support <support@example.com>\n"
            "Envoyé : lundi 3 mars 2031 10:02\nÀ : Dana\nObjet : RE: carte"
        ),
        "-----Message d'origine-----\nDe : Support\nEnvoyé : lundi\nÀ : Dana\nObjet : RE: carte",
    ),
    closings=(
        "Cordialement,",
        "Bien cordialement",
        "Bien à vous,",
        "Merci,",
        "Salutations distinguées",
    ),
    names=("Dana Exemple", "D. Exemple", "Dana"),
    contacts=(
        "Directrice des achats | Exemple SARL",
        "Tél. : +33 1 99 00 12 34",
        "www.example.com",
        "12 rue Exemple, 75001 Paris",
    ),
    devices=("Envoyé de mon iPhone", "Télécharger Outlook pour iOS"),
    notices=(
        (
            "Ce message est confidentiel et réservé à son destinataire. Si vous "
            "l'avez reçu par erreur,\nmerci d'avertir l'expéditeur."
        ),
    ),
    footers=("Pour vous désinscrire, cliquez ici.",),
)
SPANISH = Language(
    sentences=(
        "Perdí mi tarjeta en el tren, por favor bloquéenla.",
        "¿Cuándo llega mi reembolso?",
        "La aplicación muestra el error 5 y se cierra.",
        "Gracias por la ayuda rápida, saludos a todo el equipo de ayer.",
        "El 3 de marzo me cobraron dos veces el pedido 4837.",
    ),
    attributions=(
        "El lun, 3 mar 2031 a las 10:02, Support (<support@example.com>) escribió:",
        "El 3/3/2031 a las 10:02, Support escribió:",
        "El lun, 3 mar 2031 a las 10:02, Support Equipo (<support@example.com>)\nescribió:",
    ),
    headers=(
        (
            "De: Support <support@example.com>\n"
            "Enviado: lunes, 3 de marzo de 2031 10:02\nPara: Dana\n"
            "Asunto: RE: tarjeta"
        ),
        (
            "-----Mensaje original-----\nDe: Support\nEnviado el: lunes\n"
            "Para: Dana\nAsunto: RE: tarjeta"
        ),
    ),
    closings=("Saludos,", "Un saludo cordial", "Atentamente,", "Gracias,", "Saludos cordiales"),
    names=("Dana Ejemplo", "D. Ejemplo", "Dana"),
    contacts=(
        "Jefa de Compras | Ejemplo S.L.",
        "Tel. +34 910 00 00 00",
        "www.example.com",
        "Calle Ejemplo 12, 28001 Madrid",
    ),
    devices=("Enviado desde mi iPhone", "Obtener Outlook para Android"),
    notices=(
        (
            "Este mensaje es confidencial y va dirigido a su destinatario. Si lo "
            "ha recibido por error,\navise al remitente."
        ),
    ),
    footers=("Para darse de baja, haga clic aquí.",),
)
PORTUGUESE = Language(
    sentences=(
        "Perdi o meu cartão no comboio, por favor bloqueiem-no.",
        "Quando chega o meu reembolso?",
        "A aplicação mostra o erro 5 e fecha.",
        "Obrigado pela ajuda rápida, cumprimentos a toda a equipa de ontem.",
        "Em 3 de março cobraram duas vezes a encomenda 4837.",
    ),
    attributions=(
        "Em seg., 3 de mar. de 2031 às 10:02, Support <support@example.com> escreveu:",
        "Em 03/03/2031 10:02, Support escreveu:",
        "Em seg., 3 de mar. de 2031 às 10:02, Support Equipa <support@example.com>\nescreveu:",
    ),
    headers=(
        (
            "De: Support <support@example.com>\n"
            "Enviado: segunda-feira, 3 de março de 2031 10:02\nPara: Dana\n"
            "Assunto: RE: cartão"
        ),
        (
            "-----Mensagem original-----\nDe: Support\n"
            "Enviada em: segunda-feira\nPara: Dana\nAssunto: RE: cartão"
        ),
    ),
    closings=(
        "Atenciosamente,",
        "Com os melhores cumprimentos",
        "Cumprimentos,",
        "Obrigado,",
        "Abraço,",
    ),
    names=("Dana Exemplo", "D. Exemplo", "Dana"),
    contacts=(
        "Gerente de Compras | Exemplo Lda",
        "Tel. +351 21 000 00 00",
        "www.example.com",
        "Rua Exemplo 12, 1000-001 Lisboa",
    ),
    devices=("Enviado do meu iPhone", "Obter o Outlook para iOS"),
    notices=(
        (
            "Esta mensagem é confidencial e destina-se ao destinatário. Se a "
            "recebeu por engano,\navise o remetente."
        ),
    ),
    footers=("Para cancelar a inscrição, clique aqui.",),
)
LANGUAGES = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH, "es": SPANISH, "pt": PORTUGUESE}


def message(rng: random.Random, language: Language) -> str:
    """One to five sentences, in one to three paragraphs."""
    sentences = rng.sample(language.sentences, rng.randint(1, min(5, len(language.sentences))))
    return "".join(sentence + rng.choice((" ", "\n", "\n\n")) for sentence in sentences).strip()


def signature(rng: random.Random, language: Language) -> str:
    """A closing, a name and a block of contacts, or only what a telephone writes."""
    if rng.random() < 0.2:
        return rng.choice(language.devices)
    block = [rng.choice(language.names), *rng.sample(language.contacts, rng.randint(0, 4))]
    first = rng.choice((*language.closings, "-- ", "--"))
    gap = rng.choice(("", "\n")) if first[0] != "-" else ""
    return f"{first}\n{gap}" + "\n".join(block)


def quote(rng: random.Random, language: Language) -> str:
    """The mail that is answered, as one of several programs quotes it."""
    older = f"{message(rng, language)}\n\n{signature(rng, language)}"
    if rng.random() < 0.5:
        return f"{rng.choice(language.headers)}\n\n{older}"
    marked = "\n".join(f"> {line}" for line in older.split("\n"))
    return rng.choice(language.attributions) + rng.choice(("\n", "\n\n")) + marked


def notice(rng: random.Random, language: Language) -> str:
    """What a company or a list adds to every mail."""
    return rng.choice((*language.notices, *language.footers))


def in_html(rng: random.Random, text: str) -> str:
    """The text as an editor or a mail program writes it in HTML."""
    return rng.choice(_SKINS)(text)


def _paragraphs(text: str) -> str:
    parts = [html.escape(part).replace("\n", "<br>\n") for part in text.split("\n\n")]
    return "".join(f"<p class='MsoNormal'>{part}<o:p></o:p></p>\n" for part in parts)


def _divs(text: str) -> str:
    lines = [f"<div>{html.escape(line) or '<br>'}</div>" for line in text.split("\n")]
    return '<div dir="ltr">' + "".join(lines) + "</div>"


def _breaks(text: str) -> str:
    return html.escape(text).replace("\n", "<br />\n") + "<br>"


def _document(text: str) -> str:
    head = "<head><meta charset='utf-8'><title>Mail</title><style>p {color: red}</style></head>"
    return f"<!DOCTYPE html>\n<html>{head}<body>\n{_paragraphs(text)}</body></html>"


def _table(text: str) -> str:
    teaser = '<div style="display: none; max-height: 0">A teaser that nobody sees</div>'
    cells = "".join(
        f"<tr><td style='padding:0'>{html.escape(line) or '&nbsp;'}</td></tr>\n"
        for line in text.split("\n")
    )
    return f"<html><body>{teaser}<table><tbody>{cells}</tbody></table></body></html>"


_SKINS: tuple[Callable[[str], str], ...] = (_paragraphs, _divs, _breaks, _document, _table)
