"""The words for a password in many languages, as regular expressions.

All texts here went through `plain_letters`, as the texts do that are searched: so ``contraseña``
is written ``contrasena``, and a Cyrillic word has Latin letters where they look alike.
"""

import unicodedata
from collections.abc import Iterable

from inference.egress.letters import plain_letters


def plain(text: str) -> str:
    """The text as it stands in a text that is searched."""
    return plain_letters(unicodedata.normalize("NFKC", text))


def alternatives(words: Iterable[str]) -> str:
    """A regular expression for any of the words; they may be regular expressions themselves."""
    return "|".join(plain(word) for word in words)


ENGLISH = ("password", "passwd", "passphrase", "passcode", "pwd", "pw", "pass word")
# Words that mean nothing but a password, also as the end of a field's name.
FIELD_ENDINGS = tuple(
    spelled
    for word in (
        "contraseña", "contrasenya", "contrasinal", "senha", "palavrapasse", "passwort", "kennwort",
        "motdepasse", "wachtwoord", "lösenord", "adgangskode", "kodeord", "passord", "lykilorð",
        "salasana", "salasõna", "slaptažodis", "jelszó", "lozinka", "zaporka", "katasandi",
        "katalaluan", "mậtkhẩu", "nenosiri", "pasahitza", "cyfrinair", "pasfhocal", "fjalëkalimi",
        "пароль", "парола", "лозинка", "құпиясөз", "συνθηματικό", "κωδικόςπρόσβασης",
        "密码", "密碼", "口令", "通行码", "通行碼", "パスワード",
        "暗証番号", "비밀번호", "패스워드", "암호",
        "كلمةالمرور", "كلمةالسر", "كلمهالسر", "رمزعبور", "گذرواژه", "סיסמה", "סיסמא",
        "पासवर्ड", "รหัสผ่าน", "գաղտնաբառ",
    )
    # The last sigma of a Greek word has no upper case of its own.
    for spelled in (plain(word), plain(word.upper()))
)  # fmt: skip
# Words that mean something else too. They count only as the whole last word of a name, and only
# before a value that is no word.
AMBIGUOUS = tuple(
    plain(word)
    for word in (
        "clave", "parola", "parole", "parool", "hasło", "heslo", "geslo", "şifre", "šifra", "sandi",
        "mdp", "hasla", "hesla", "гасло", "шифра",
    )
)  # fmt: skip

_LATIN = (
    r"contraseña", "contrasenya", "contrasinal", r"clave(?: de acceso)?", "senha",
    "palavra[- ]passe", r"\w{0,20}passwort", r"\w{0,20}kennwort", "zugangscode", "mot de passe",
    "mdp", r"code d'accès", r"parol[ae]\w?(?: d'ordine)?", "wachtwoord", "toegangscode",
    r"hasł\w{1,2}", r"hesl\w{1,2}", r"lösenord\w{0,2}", r"passord\w{0,2}", r"adgangskode\w?",
    r"kodeord\w{0,2}", r"lykilorð\w{0,2}", r"salasana\w{0,4}", r"parool\w{0,4}", r"salasõna",
    r"slaptažod\w{1,5}", r"jelsz[óa]\w{0,4}", r"şifre\w{0,6}", r"parolam\w{0,3}", r"lozink\w{1,2}",
    r"zapork\w{1,2}", r"gesl\w{1,2}", "kata sandi", "kata laluan", "sandi", "mật khẩu", "nenosiri",
    r"pasahitza\w{0,3}", "cyfrinair", "pasfhocal", r"fjalëkalim\w{0,3}", r"šifr[ae]",
)  # fmt: skip
_CYRILLIC_AND_GREEK = (
    r"парол\w{0,4}", "кодовое слово", r"лозинк\w{1,2}", r"шифр[ау]", r"гасл\w{1,2}", "құпиясөз",
    "нууц үг", r"κωδικ\w{1,3} (?:πρόσβασης|μου|χρήστη)", r"συνθηματικ\w{1,3}",
)  # fmt: skip
SPACED = alternatives((*_LATIN, *_CYRILLIC_AND_GREEK))
"""Words of languages with blanks between words."""
SPACED_CLUES = tuple(
    plain(word).lower()
    for word in (
        "contras", "clave", "senha", "palavra", "passwort", "kennwort", "zugangscode", "passe",
        "mdp",
        "d'accès", "parol", "wachtwoord", "toegangs", "hasł", "hesl", "lösenord", "passord",
        "adgangs", "kodeord", "lykilorð", "salas", "slapta", "jelsz", "şifr", "šifr", "lozink",
        "zapork", "gesl", "sandi", "laluan", "khẩu", "nenosiri", "pasahitza", "cyfrinair",
        "pasfhocal", "fjalëkalim", "парол", "слово", "лозинк", "шифр", "гасл", "құпия", "нууц",
        "κωδικ", "συνθηματ",
    )
)  # fmt: skip
"""A text without any of these holds none of the words in `SPACED`."""
OTHER_SCRIPTS = alternatives(
    (
        "密码", "密碼", "口令", "通行码", "通行碼", "パスワード", "パスコード",
        "暗証番号", "合言葉", "비밀번호", "비번",
        "패스워드", "암호", "كلمة ?المرور", "كلمة ?السر", "كلمه ?السر", "كلمة ?مروري",
        "الرقم ?السري",
        "رمز ?عبور", "گذرواژه", "پاس ?ورڈ", "סיסמה", "סיסמא", "סיסמת", "סיסמתי",
        "पासवर्ड", "कूटशब्द",
        "গোপন ?শব্দ", "পাসওয়ার্ড", "கடவுச்சொல்", "รหัสผ่าน", "พาสเวิร์ด", "գաղտնաբառ", "პაროლი",
    )
)  # fmt: skip
"""Words of scripts that share no letters with ours. Python counts vowel signs as no letters."""
COPULAS = alternatives(
    (
        "is now", "is", "was", "are", "will be", "es", "é", "era", "será", "fue", "foi", "ist",
        "war",
        "lautet", "est", "était", "è", "to", "jest", "je", "är", "er", "on", "oli", "olarak",
        "yra", "ir", "van", "az", "eshte", "este", "là", "adalah", "ialah", "ni", "da",
        "это", "есть", "был", "є", "е", "је", "είναι", "на", "σε", "auf", "a", "por",
        "para", "en", "in", "naar", "na", "til", "till", "zu", "ke", "menjadi", "thành", "sang",
    )
)  # fmt: skip
"""Words between the word for a password and the password, in languages with blanks."""
_KEY_CONTENTS = (
    "key content", "schlüsselinhalt", "contenu de la clé", "contenido de la clave",
    "conteúdo da chave", "contenuto chiave", "inhoud van de sleutel", "inhoud van sleutel",
    "содержимое ключа", "zawartość klucza", "nyckelinnehåll", "anahtar içeriği", "关键内容",
    "密钥内容", "キー コンテンツ", "主要なコンテンツ", "키 콘텐츠",
)  # fmt: skip
KEY_CONTENTS = alternatives(_KEY_CONTENTS)
"""What `netsh wlan show profile … key=clear` writes before a key."""
NETWORK_KEYS = r"(?:security|network|pre-?shared|recovery|wi-?fi|wlan|wpa[23]?)[ -](?:key|password)"
NETWORK_CLUES = ("key", "password", *(plain(word).lower() for word in _KEY_CONTENTS))
