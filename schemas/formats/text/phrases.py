"""Phrases that mail programs and people add to a message, in five languages.

English, German, French, Spanish and Portuguese. All are in small letters, with a straight
apostrophe.
"""

from schemas.formats.text.names import names

HEADER_FIELDS: dict[str, str] = {
    label: field
    for field, labels in {
        "from": "from|von|absender|de|expéditeur|remitente|remetente",
        "date": "sent|date|gesendet|gesendet am|datum|envoyé|envoyé le|enviado|enviado el|fecha|"
        "enviada|enviada em|enviado em|data",
        "to": "to|an|à|a|para|destinataire|destinatario|destinatário",
        "copy": "cc|bcc|kopie|copie à|copia|cópia|com cópia|cci",
        "subject": "subject|betreff|objet|sujet|asunto|assunto",
        "other": "reply-to|antwort an|répondre à|responder a|importance|priority|wichtigkeit|"
        "attachments|anlagen|pièces jointes|datos adjuntos|anexos|organization",
    }.items()
    for label in labels.split("|")
}
"""What a line of a mail's header begins with, before its colon, and which field that is."""

SENT_LABELS = ("sent:", "gesendet", "envoyé", "enviado", "enviada")

SEPARATORS = frozenset(
    {
        *("original message", "original appointment", "forwarded message", "forwarded by"),
        *("ursprüngliche nachricht", "originalnachricht", "original-nachricht"),
        *("urspr. nachricht", "weitergeleitete nachricht", "ursprünglicher termin"),
        *("message d'origine", "message original", "message initial", "message transféré"),
        *("mensaje original", "mensaje reenviado", "mensaje de origen"),
        *("mensagem original", "mensagem encaminhada", "mensagem reencaminhada"),
    }
)
"""Between dashes, they begin the other message."""

FORWARD_LINES = frozenset(
    {
        *("begin forwarded message:", "anfang der weitergeleiteten nachricht:"),
        *("début du message transféré :", "début du message réexpédié :"),
        *("début du message transféré:", "inicio del mensaje reenviado:"),
        *("início da mensagem encaminhada:", "início da mensagem reencaminhada:"),
    }
)

ATTRIBUTION_STARTS = names(
    "on am den le el em a dia no mon tue wed thu fri sat sun mo di mi do fr sa so"
)
ATTRIBUTION_ENDS = (
    *("wrote:", "schrieb:", "geschrieben:", "a écrit :", "a écrit:", "escribió:", "escreveu:"),
    *("escribió :", "escreveu :", "wrote :", "schrieb :", "geschrieben :"),
)
ATTRIBUTION_VERBS = (" wrote", " schrieb", " a écrit", " escribió", " escreveu")
"""Some programs leave the colon out."""
ATTRIBUTION_INSIDE = (" schrieb ", " wrote on ", " a écrit le ", " escribió el ", " escreveu em ")
"""German puts the name behind the verb, and some programs put the date there."""
NARRATIVE_WORDS = names(
    "the i your you they he she we my ich ihr euer du sie wir je tu vous "
    "votre nous yo su usted ustedes "
    "tu eu você seu sua nós"
)
"""A line with one of them is told by a person, not written by a mail program."""

REPLY_MARKERS = (
    *("reply above this line", "type your reply above", "write above this line"),
    *("antwort oberhalb dieser zeile", "antwort über dieser zeile", "oberhalb dieser zeile"),
    *("réponse au-dessus de cette ligne", "répondez au-dessus", "au-dessus de cette ligne"),
    *("respuesta por encima de esta línea", "encima de esta línea", "arriba de esta línea"),
    *("resposta acima desta linha", "acima desta linha", "acima dessa linha"),
)
"""A help desk writes one of them above what it quotes."""

NOTES = frozenset(
    {
        *("fyi", "fwd", "fw", "see below", "please see below", "as below", "see attached"),
        *("zur info", "zur kenntnis", "z.k.", "siehe unten", "s.u.", "bitte siehe unten", "wg"),
        *("pour info", "pour information", "voir ci-dessous", "cf. ci-dessous", "tr"),
        *("para su información", "ver abajo", "véase abajo", "ver más abajo", "rv"),
        *("para sua informação", "para conhecimento", "ver abaixo", "segue abaixo", "enc"),
    }
)
"""What people write above a message that they only pass on."""

_CLOSINGS_EN = (
    "best|best regards|best wishes|kind regards|kindest regards|warm regards|warmest regards|"
    "regards|with best regards|with kind regards|many regards|rgds|br|sincerely|sincerely yours|"
    "yours sincerely|yours faithfully|yours truly|yours|respectfully|cheers|all the best|"
    "take care|thanks and regards|thanks & regards|thanks and best regards|thank you and regards|"
    "thanks and kind regards|with regards|love|cordially"
)
_CLOSINGS_DE = (
    "mit freundlichen grüßen|mit freundlichen grüssen|mit freundlichem gruß|freundliche grüße|"
    "freundliche grüsse|mit besten grüßen|beste grüße|beste grüsse|viele grüße|viele grüsse|"
    "liebe grüße|liebe grüsse|herzliche grüße|schöne grüße|schönen gruß|mit herzlichen grüßen|"
    "mfg|lg|vg|bg|gruß|grüße|hochachtungsvoll|besten gruß|vielen dank und freundliche grüße|"
    "vielen dank und viele grüße|danke und viele grüße|herzliche grüsse|mit freundlichen gruessen|"
    "viele gruesse|freundliche gruesse|beste gruesse"
)
_CLOSINGS_FR = (
    "cordialement|bien cordialement|très cordialement|salutations|meilleures salutations|"
    "salutations distinguées|sincères salutations|bien à vous|amicalement|cdlt|cdt|bien à toi|"
    "avec mes meilleures salutations|respectueusement|sincèrement|merci et cordialement|"
    "merci d'avance et bien cordialement|merci d'avance, cordialement"
)
_CLOSINGS_ES = (
    "saludos|saludos cordiales|un saludo|un cordial saludo|un saludo cordial|cordiales saludos|"
    "atentamente|muy atentamente|cordialmente|le saluda atentamente|reciba un cordial saludo|"
    "un abrazo|gracias y saludos|gracias, saludos|saludos y gracias|muchos saludos"
)
_CLOSINGS_PT = (
    "atenciosamente|cordialmente|cumprimentos|com os melhores cumprimentos|melhores cumprimentos|"
    "os melhores cumprimentos|saudações|atte|att|abraço|abraços|um abraço|respeitosamente|"
    "obrigado e cumprimentos|com os meus cumprimentos|saudações cordiais|cordiais saudações"
)
CLOSINGS: frozenset[str] = frozenset().union(
    *(
        names(closings, "|")
        for closings in (_CLOSINGS_EN, _CLOSINGS_DE, _CLOSINGS_FR, _CLOSINGS_ES, _CLOSINGS_PT)
    )
)
"""A signature follows them, or nothing."""

ONE_WORD_CLOSINGS = names(
    "regards sincerely rgds cheers mfg lg vg gruß grüße cordialement cdlt cdt salutations "
    "amicalement saludos atentamente cordialmente atenciosamente cumprimentos saudações"
)
"""A name may follow them in the same line without a comma."""

THANKS = names(
    "thanks|thank you|many thanks|thanks a lot|thanks in advance|thank you in advance|thx|ty|"
    "thank you very much|thanks so much|with thanks|thank you so much|danke|vielen dank|"
    "danke im voraus|vielen dank im voraus|besten dank|herzlichen dank|danke schön|"
    "merci|merci beaucoup|merci d'avance|merci par avance|en vous remerciant|"
    "gracias|muchas gracias|gracias de antemano|mil gracias|"
    "obrigado|obrigada|muito obrigado|muito obrigada|obrigado desde já|desde já obrigado|"
    "desde já agradeço|grato|grata",
    "|",
)
"""They are a part of the message, unless the name of a person follows."""

SENTENCE_WORDS = names(
    "i i'm i've my we our you is are was were have has had can can't cannot please not don't "
    "didn't does doesn't it also this that when why how what still need want will would "
    "ich mein meine meinen meiner wir ist sind war habe haben hat bitte nicht kann können auch "
    "noch das dass wann warum wie muss möchte wurde "
    "je j'ai mon ma mes nous est suis veuillez pas ne ai avez c'est aussi quand pourquoi comment "
    "yo mi mis es está tengo he ha favor también cuando cómo por puedo quiero necesito "
    "eu meu minha meus é não está tenho favor também quando como posso quero preciso"
)
"""A line with one of them is a sentence, and no line of a signature."""

POSTSCRIPTS = ("ps:", "ps ", "p.s.", "p. s.", "pps", "nb:", "n.b.", "edit:", "update:", "note:")

MOBILE_STARTS = (
    *(
        "sent from ",
        "get outlook for ",
        "sent using ",
        "sent with ",
        "sent via ",
        "download outlook for ",
    ),
    *(
        "von meinem ",
        "gesendet von ",
        "gesendet mit ",
        "gesendet aus ",
        "diese nachricht wurde von mein",
    ),
    *("holen sie sich outlook", "outlook für ", "von outlook ", "hol dir outlook"),
    *("envoyé de ", "envoyé depuis ", "envoyé à partir ", "télécharger outlook", "obtenez outlook"),
    *("enviado desde ", "obtener outlook ", "enviado con ", "descargar outlook"),
    *("enviado do ", "enviado de ", "enviado a partir ", "obter o outlook ", "enviada do "),
    *("enviado pelo ", "baixe o outlook", "obtenha o outlook"),
)
DEVICES = (
    *("iphone", "ipad", "android", "samsung", "galaxy", "huawei", "xiaomi", "pixel", "blackberry"),
    *("mobile", "smartphone", "phone", "handy", "telefon", "tablet", "móvil", "movil", "celular"),
    *("portable", "téléphone", "telemóvel", "outlook", "mail", "yahoo", "proton", "windows"),
    *(
        "gmx",
        "web.de",
        "aol",
        "ios",
        "thunderbird",
        "spark",
        "sparrow",
        "typeapp",
        "airmail",
        "bluemail",
        "redmi",
        "motorola",
        "oneplus",
    ),
)

NOTICE_STARTS = (
    *("this e-mail", "this email", "this message", "this communication", "this transmission"),
    *(
        "the information contained",
        "the information in this",
        "the contents of this",
        "the content of this",
    ),
    *(
        "confidentiality",
        "confidential",
        "disclaimer",
        "legal notice",
        "legal disclaimer",
        "notice:",
    ),
    *("if you are not the intended", "if you have received this", "if you received this"),
    *("privileged", "privacy notice", "important notice", "the sender does not accept"),
    *(
        "any views or opinions",
        "please consider the environment",
        "please think of the environment",
    ),
    *(
        "p please consider",
        "before printing",
        "think before you print",
        "scanned by",
        "virus-free",
        "e-mail disclaimer",
    ),
    *("diese e-mail", "diese mail", "diese nachricht", "der inhalt dieser", "die information"),
    *("vertraulich", "haftungsausschluss", "rechtlicher hinweis", "hinweis:", "wenn sie nicht der"),
    *(
        "sollten sie nicht der",
        "falls sie nicht der",
        "sollten sie diese",
        "bitte denken sie an die",
    ),
    *("bitte prüfen sie der umwelt", "denken sie an die umwelt", "der umwelt zuliebe"),
    *("ce message", "ce courriel", "ce mail", "cet e-mail", "cet email", "le présent message"),
    *(
        "le contenu de ce",
        "les informations contenues",
        "confidentialité",
        "avis de confidentialité",
    ),
    *("avertissement", "si vous n'êtes pas", "si vous avez reçu", "pensez à l'environnement"),
    *("avant d'imprimer", "ensemble, préservons", "l'information contenue"),
    *("este mensaje", "este correo", "este e-mail", "este email", "la información contenida"),
    *("el contenido de este", "confidencial", "aviso legal", "aviso de confidencialidad"),
    *("advertencia", "si usted no es", "si no es usted", "si ha recibido", "antes de imprimir"),
    *("piense en el medio", "por favor, piense en el medio"),
    *("esta mensagem", "esta comunicação", "a informação contida", "as informações contidas"),
    *("o conteúdo desta", "aviso de confidencialidade", "se você não é", "se não for o"),
    *("caso não seja", "se recebeu esta", "caso tenha recebido", "pense no meio ambiente"),
)
"""A notice at the end of a mail begins with one of them."""

NOTICE_WORDS = (
    *("intended recipient", "intended only", "intended solely", "intended for", "addressee"),
    *("notify the sender", "received this", "received it in error", "environment", "liability"),
    *("liable", "disclos", "of the author", "privileged"),
    *("empfänger", "adressat", "irrtümlich", "absender", "umwelt", "haftung"),
    *("destinataire", "par erreur", "expéditeur", "l'environnement"),
    *("destinatari", "por error", "remitente", "medio ambiente"),
    *("destinatári", "por engano", "remetente", "meio ambiente", "sigilos"),
)
"""A notice has one of these, and two of these and of the next."""
WEAK_NOTICE_WORDS = (
    *("confidential", "virus", "of the sender", "printing", "delete"),
    *("vertraulich", "viren", "drucken", "löschen"),
    *("confidentiel", "imprimer", "confidencial", "imprimir", "legal"),
)

FOOTER_STARTS = (
    *("virus-free", "virenfrei", "libre de virus", "livre de vírus", "garanti sans virus"),
    *("this email has been checked for viruses", "diese e-mail wurde von avast"),
    *("to unsubscribe", "unsubscribe:", "unsubscribe |", "unsubscribe from", "unsubscribe here"),
    *(
        "you are receiving this",
        "you received this",
        "you're receiving this",
        "manage your preferences",
    ),
    *(
        "click here to unsubscribe",
        "if you no longer wish to receive",
        "if you wish to unsubscribe",
    ),
    *("update your preferences", "view this email in your browser", "manage preferences"),
    *(
        "um sich abzumelden",
        "um sich vom newsletter",
        "sie erhalten diese",
        "abmelden:",
        "abmelden |",
    ),
    *(
        "newsletter abbestellen",
        "wenn sie keine weiteren",
        "hier abmelden",
        "vom newsletter abmelden",
    ),
    *(
        "pour vous désinscrire",
        "pour vous désabonner",
        "vous recevez ce",
        "se désabonner",
        "se désinscrire",
    ),
    *("si vous ne souhaitez plus recevoir", "cliquez ici pour vous dés"),
    *("para darse de baja", "recibe este correo", "ha recibido este correo", "darse de baja"),
    *("usted recibe este", "si no desea recibir más", "si no desea seguir recibiendo"),
    *("cancelar la suscripción", "para cancelar a", "você recebeu est", "você está recebendo est"),
    *("cancelar inscrição", "cancelar subscrição", "se não deseja mais receber", "descadastr"),
    *("recebeu este e-mail porque", "está a receber este", "para deixar de receber"),
)

BANNER_STARTS = (
    *("caution: this email originated", "caution: this e-mail originated", "caution: external"),
    *("external email:", "[external email]", "this email originated from outside"),
    *("this message originated from outside", "warning: this email originated"),
    *("you don't often get email from", "some people who received this message don't often"),
    *("achtung: diese e-mail stammt von", "sie erhalten nicht häufig e-mails von"),
    *("sie erhalten nicht oft eine e-mail von", "attention : cet e-mail provient"),
    *("vous n'obtenez pas souvent d'e-mail", "vous ne recevez pas souvent de courrier"),
    *("no suele recibir correo", "no suele recibir correos", "precaución: este correo"),
    *("você não costuma receber", "cuidado: este e-mail", "não é comum receber"),
)
"""A mail program puts them above the message."""
