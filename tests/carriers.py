"""Fresh secrets in the shapes that carry them, kind by kind.

A kind in `PROMISED` is one that redaction promises to replace. The shapes of `UNPROMISED` are known
to be missed, at least in part; docs/how-to/llm.md publishes how many.
"""

import base64
import codecs
import gzip
import random
import string
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from inference.egress.redaction import Redaction
from inference.errors import RedactionFailed
from schemas.event import Event
from tests.planted import FIRST_NAMES, LAST_NAMES, arrived, token

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_WORDS = ["Lantern", "orchid", "Gravel", "summit", "Velvet", "harbor", "Quartz", "meadow", "Falcon"]
_MIN_PART_CHARS = 5


class Carried(NamedTuple):
    """A text or a document, and the value in it that must not be sent."""

    content: Any
    value: str


Carrier = Callable[[random.Random], Carried]


def fresh(rng: random.Random, size: int | None = None) -> str:
    """A password of letters and digits that no program uses as a word."""
    if size is None and rng.random() < 0.4:
        word = rng.choice(_WORDS)
        return f"{word[:3]}{rng.randint(2, 9)}{word[3:]}{_letters(rng, 3)}{rng.randint(10, 99)}"
    return _mixed(rng, size or rng.randint(9, 18))


def signed(rng: random.Random) -> str:
    """A password that has signs in it, too."""
    sign = rng.choice("!#$%&*+-_.^~?")
    value = fresh(rng)
    cut = rng.randint(2, len(value) - 2)
    return value[:cut] + sign + value[cut:]


def _letters(rng: random.Random, size: int) -> str:
    return "".join(rng.choices(_LETTERS_AND_DIGITS, k=size))


def _mixed(rng: random.Random, size: int) -> str:
    """Random letters and digits with a digit in the middle of both halves."""
    letters = rng.choices(_LETTERS_AND_DIGITS, k=size)
    letters[size // 4], letters[3 * size // 4] = rng.choices("23456789", k=2)
    letters[0], letters[-1] = rng.choices(string.ascii_letters, k=2)
    letters[1 + size // 4] = rng.choice(string.ascii_letters)
    letters[1 + 3 * size // 4 if size > 5 else -1] = rng.choice(string.ascii_letters)
    return "".join(letters)


def _names(rng: random.Random) -> dict[str, str]:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    return {
        "u": rng.choice([f"{first[0]}{last}", f"svc_{last}", "scott", "app", f"{first}.{last}"]),
        "h": rng.choice([f"db{rng.randint(1, 99)}", f"srv-{last}.example.com", "10.20.4.8"]),
        "d": rng.choice(["prod", "ORCL", "crm", "XEPDB1", "hr_db"]),
    }


def templates(*texts: str, value: Callable[[random.Random], str] = fresh) -> Carrier:
    """A carrier that fills one of the texts: {p} the value, {u} user, {h} host, {d} database."""

    def carry(rng: random.Random) -> Carried:
        secret = value(rng)
        return Carried(rng.choice(texts).format(p=secret, **_names(rng)), secret)

    return carry


# --- logins of Oracle and in files

_oracle = templates(
    "sqlplus {u}/{p}@{d}", "sqlplus -S {u}/{p}@//{h}:1521/{d} @run.sql", "sqlplus {u}/{p}",
    'sqlplus "{u}/{p}@{h}:1521/{d} as sysdba"', "exp {u}/{p}@{d} file=a.dmp owner=hr",
    "impdp {u}/{p}@{d} directory=dp dumpfile=a.dmp", "expdp userid={u}/{p}@{d} full=y",
    "sqlldr userid={u}/{p}@{d} control=load.ctl", "rman target {u}/{p}@{d} catalog rco/x@cat",
    "jdbc:oracle:thin:{u}/{p}@//{h}:1521/{d}", "jdbc:oracle:thin:{u}/{p}@{h}:1521:{d}",
    "SQL> connect {u}/{p}@{d}", "CONN {u}/{p}@{d}", "cmdline: scott/{p}@{d} as user",
    "C:\\oracle\\bin\\sqlplus.exe -L {u}/{p}@{d}", 'sqlplus {u}/"{p}"@{d}',
)  # fmt: skip
_files = templates(
    "{h}:5432:{d}:app:{p}", "*:*:*:app:{p}", "localhost:6432:{d}:svc_web:{p}",
    "cat ~/.pgpass\n{h}:5432:*:app:{p}\n", "db.example.com:5433:crm:reader:{p}",
    "machine {h} login kari password {p}", "machine {h}\n  login kari\n  password {p}\n",
    "default login kari password {p}", '"kari" * "{p}" *', "kari\tpptpd\t{p}\t*",
    "# client server secret ip\nkari * {p} *",
)  # fmt: skip


def _auth(rng: random.Random) -> Carried:
    secret = signed(rng)
    blob = base64.b64encode(f"{_names(rng)['u']}:{secret}".encode()).decode()
    shape = rng.choice(
        [
            f'{{"auths":{{"r.example":{{"auth":"{blob}"}}}}}}',
            f"_auth={blob}",
            f"//registry.example/:_auth={blob}",
            f"auth: {blob}",
            f"  auth:\n    {blob}",
            f'"auth" : "{blob}"',
            f"Proxy-Authorization: Basic {blob}",
            {"auths": {"https://r.example/v1/": {"auth": blob}}},
            {"npm": {"_auth": blob}},
        ]
    )
    return Carried(shape, blob.rstrip("=")[:24])


# --- commands

_commands = templates(
    "ldapsearch -x -D cn=admin,dc=x -w {p} -b dc=x", "ldapmodify -H ldap://{h} -w{p} -f a.ldif",
    "ldappasswd -D cn=x -w old1Pass -s {p} uid=a", "ldapwhoami -D 'cn=a b' -w '{p}'",
    "smbclient //{h}/c$ -U {u}%{p}", "rpcclient -U '{u}%{p}' {h}", "net rpc user -S {h} -U{u}%{p}",
    "smbmap -u {u} -p {p} -H {h}", "wmic -U CORP/{u}%{p} //{h} 'select 1'",
    "winexe --user={u}%{p} //{h} cmd", "snmpwalk -v2c -c {p} {h} system", "snmpget -v1 -c{p} {h} x",
    "snmpwalk -v3 -u {u} -A {p} -X other9Key {h}", "snmpbulkwalk -v3 -l authPriv -X '{p}' {h}",
    "onesixtyone -c {p} {h}", "mysql -u {u} -p{p} -h {h}", "mysqldump --password={p} {d}",
    "mysqladmin -u root password '{p}'", "sshpass -p {p} ssh {u}@{h}", "sshpass -p'{p}' scp a b:",
    "7z x -p{p} a.7z", "unzip -P {p} a.zip", "zip -P {p} out.zip a", "redis-cli -h {h} -a {p} ping",
    "sqlcmd -S {h} -U {u} -P {p} -Q q", "bcp d out f -U {u} -P {p}", "osql -U sa -P {p}",
    "ipmitool -I lanplus -H {h} -U {u} -P {p} power on", "mosquitto_pub -u {u} -P {p} -t t -m m",
    "mongosh -u {u} -p {p} --host {h}", "cqlsh {h} -u {u} -p {p}", "evil-winrm -i {h} -u {u} -p {p}",
    "nxc smb {h} -u {u} -p {p}", "crackmapexec smb {h} -u {u} -p '{p}' --shares",
    "xfreerdp /u:{u} /p:{p} /v:{h}", "winrs -r:{h} -u:{u} -p:{p} cmd", "psexec \\\\{h} -u {u} -p {p} cmd",
    "net user {u} {p} /add", "net use Z: \\\\{h}\\c$ {p} /user:{u}", "cmdkey /add:{h} /user:{u} /pass:{p}",
    "schtasks /create /tn t /ru {u} /rp {p}", "rasdial VPN {u} {p}", "plink -ssh {h} -l {u} -pw {p}",
    "wpa_passphrase homenet {p}", "htpasswd -b /etc/h {u} {p}", "htpasswd -nbB {u} {p}",
    "smbclient //{h}/share {p} -W CORP", "echo {p} | sudo -S id", "echo '{p}' | kinit {u}",
    "echo {u}:{p} | chpasswd", "docker login -u {u} -p {p} r.example", "skopeo copy --src-creds {u}:{p} a b",
    "curl -u {u}:{p} https://{h}/", "curl -U {u}:{p} -x {h}:3128 x", "curl --proxy-user {u}:{p} x",
    "wget --http-user={u} --http-password={p} x", "az storage blob list --account-key {p}",
    "openssl enc -aes-256-cbc -k {p} -in a", "openssl rsa -passin pass:{p} -in k", "gpg --batch --passphrase {p} -d a",
    "keytool -list -storepass {p}", "aws configure set aws_secret_access_key {p}", "git config set http.token {p}",
    "setx DB_PASSWORD {p}", "reg add HKLM\\x /v DefaultPassword /t REG_SZ /d {p} /f",
    "lftp -u {u},{p} ftp://{h}", "db2 connect to {d} user {u} using {p}", "bw unlock {p}",
    "ConvertTo-SecureString '{p}' -AsPlainText -Force", "New-Object PSCredential('{u}', '{p}')",
    "psql \"host={h} user=app password={p}\"", "PGPASSWORD={p} psql -h {h}", "MYSQL_PWD={p} mysql -u root",
    "tool \\\n  --user x \\\n  --password \\\n  {p}", "mysql \\\n  -u root \\\n  -p{p} \\\n  db",
    "ALTER USER app WITH PASSWORD '{p}';", "CREATE USER x IDENTIFIED BY \"{p}\"", "vault login {p}",
    "SET PASSWORD FOR 'a'@'b' = '{p}'", "username admin privilege 15 secret 5 {p}", "enable secret {p}",
    "wpa-psk ascii 0 {p}", "snmp-server community {p} RO", "nmcli dev wifi connect net password {p}",
    "helm install x --set db.password={p}", "kubectl create secret generic s --from-literal=token={p}",
    "mount -t cifs //{h}/x /m -o username={u},password={p}", "runas /user:{u} /password:{p} cmd",
    "secretsdump.py corp/{u}:{p}@{h}", "gsql -d {d} -U {u} -W {p}", "slappasswd -s {p}",
)  # fmt: skip


def _argument_lists(rng: random.Random) -> Carried:
    secret, names = fresh(rng), _names(rng)
    arguments = rng.choice(
        [
            ["ldapsearch", "-x", "-w", secret],
            ["/usr/bin/ldapsearch", f"-w{secret}"],
            ["snmpwalk", "-v2c", "-c", secret, names["h"]],
            ["smbclient", "-U", f"{names['u']}%{secret}", "//h/c"],
            ["sqlplus", "-S", f"{names['u']}/{secret}@{names['d']}"],
            ["C:\\x\\sqlcmd.exe", "-P", secret],
            ["mysql", f"-p{secret}"],
            ["curl", "-u", f"{names['u']}:{secret}", "https://x.example"],
            ["redis-cli", "-a", secret],
            ["tool", "--password", secret],
        ]
    )
    return Carried({"process": {"args": arguments}}, secret)


_network_keys = templates(
    "    Key Content            : {p}", "Security key           : Present\n    Key Content  : {p}",
    "    Schlüsselinhalt        : {p}", "    Contenu de la clé      : {p}",
    "    Contenido de la clave  : {p}", "    Conteúdo da Chave      : {p}",
    "    Contenuto chiave       : {p}", "    Содержимое ключа       : {p}",
    "    关键内容               : {p}", "network key: {p}", "pre-shared key = {p}",
    'network={{\n  ssid="x"\n  psk="{p}"\n}}', "<keyMaterial>{p}</keyMaterial>",
    "wifi password is {p}",
)  # fmt: skip
_links = templates(
    "https://app.example.com/magic?m={p}", "https://app.example.com/login?lt={p}&lang=en",
    "https://x.example/auth/magic-link?ml={p}", "https://x.example/verify/{p}",
    "https://x.example/reset-password/{p}", "https://x.example/users/confirm?c={p}&utm_source=mail",
    "GET /signin/callback?tk={p} HTTP/1.1", "https://x.example/invite/{p}?from=a",
    "https://x.example/passwordless/start?x={p}", "https://x.example/sso?i={p}#top",
    "https://x.example/activate#t={p}", "<a href='https://x.example/login/{p}'>sign in</a>",
    "https://x.page.link/?link=https://x.example/login?oobCode={p}",
    "hxxps://x.example/account/recover?id={p}", "https://login.example/one-time?otp={p}",
    value=lambda rng: _mixed(rng, rng.randint(10, 32)),
)  # fmt: skip


def _encoded_commands(rng: random.Random) -> Carried:
    secret = fresh(rng)
    script = rng.choice(
        [
            "net user bob {p} /add", "$password = '{p}'", "$pass='{p}';iex x", "$env:DB_PASSWORD='{p}'",
            "New-LocalUser a -Password (ConvertTo-SecureString '{p}' -AsPlainText -Force)",
            "curl.exe -u svc:{p} http://198.51.100.9/", "cmdkey /add:x /user:a /pass:{p}",
            "$c = New-Object Net.NetworkCredential('a','{p}')", "Invoke-Sqlcmd -Password {p} -Query x",
            "sqlplus scott/{p}@ORCL", "# пароль: {p}", "$apiKey = \"{p}\"",
        ]
    ).format(p=secret)  # fmt: skip
    blob = base64.b64encode(script.encode("utf-16-le")).decode()
    flag = rng.choice(["-enc", "-EncodedCommand", "-e", "-ec", "-ENC", "/enc", "-encodedcommand"])
    shape = rng.choice(
        [
            f"powershell.exe -nop -w hidden {flag} {blob}",
            f'pwsh {flag} "{blob}"',
            f"cmd /c start powershell {flag} {blob} & exit",
            {"process": {"args": ["powershell.exe", flag, blob]}},
            f"[Convert]::FromBase64String('{base64.b64encode(script.encode()).decode()}')",
        ]
    )
    return Carried(shape, secret)


# --- disguised words

_LOOKALIKES = {
    "a": "аɑα", "c": "сϲ", "e": "еє", "i": "іı", "k": "κк", "o": "оο", "p": "рρ", "s": "ѕꜱ",
    "d": "ԁ", "y": "уγ", "w": "ԝ", "t": "τт", "r": "г",
}  # fmt: skip
_FIELDS = ["password", "passwd", "api_key", "secret", "access_token", "passphrase", "apikey", "pwd"]


def _confused(rng: random.Random) -> Carried:
    secret, word = fresh(rng), rng.choice(_FIELDS)
    places = [n for n, letter in enumerate(word) if letter in _LOOKALIKES]
    letters = list(word)
    for place in rng.sample(places, rng.randint(1, min(4, len(places)))):
        letters[place] = rng.choice(_LOOKALIKES[word[place]])
    return _field(rng, "".join(letters), secret)


def _respelled(rng: random.Random) -> Carried:
    secret, word = fresh(rng), rng.choice(_FIELDS)
    spelled = rng.choice(
        [
            "".join(chr(ord(c) + 0xFEE0) for c in word),
            "".join(rng.choice([c.upper(), c.lower()]) for c in word),
            word[:3] + "\u200b" + word[3:],
            word.title(),
            "".join(c + "\u0336" for c in word),
            "".join(chr(0x1D41A + ord(c) - ord("a")) if c.isalpha() else c for c in word),
        ]
    )
    return _field(rng, spelled, secret)


def _field(rng: random.Random, name: str, secret: str) -> Carried:
    shape = rng.choice(
        [
            f"{name}={secret}", f"{name}: {secret}", f'"{name}": "{secret}"', f"{name} = '{secret}'",
            f"{{'{name}': '{secret}', 'x': 1}}", f"<{name}>{secret}</{name}>", f"export {name}={secret}",
            f"{name} => {secret}", f"?{name}={secret}&x=1", f"[db]\n{name} = {secret}\nport = 1",
            f"{name}:\n  {secret}", f"{name}          : {secret}", f"${name} = '{secret}';",
            f'<add key="{name}" value="{secret}" />', f"x;{name}={secret};y=1", f"-{name} {secret}"
            if name.isascii() and name.islower() else f"{name}={secret}",
            {name: secret}, {"config": {"db": {name: secret}}}, {"name": name, "value": secret},
            [{"key": name, "value": secret}], f"{name}: |\n  {secret}", f"{name}: >-\n  {secret}",
        ]
    )  # fmt: skip
    return Carried(shape if not isinstance(shape, list) else {"list": shape}, secret)


def _plain_fields(rng: random.Random) -> Carried:
    names = [*_FIELDS, "db_password", "DB_PASS", "clientSecret", "privateKey", "sessionToken",
             "userPassword", "smtp.password", "Password", "AccountKey", "auth_token"]  # fmt: skip
    return _field(rng, rng.choice(names), fresh(rng))


# --- broken over a line


def _broken(rng: random.Random) -> Carried:
    secret = _mixed(rng, 16)
    first, second = secret[:8], secret[8:]
    key = "ghp_" + _mixed(rng, 36)
    cut = rng.randint(12, 28)
    long_key = _mixed(rng, 40)
    shape, value = rng.choice(
        [
            (f"password={first}\n{second}\n", secret),
            (f"password: {first}\n{second}\nuser: x", secret),
            (f"password='{first}\n{second}'", secret),
            (f'"password": "{first}\n{second}",', secret),
            (f"DB_PASSWORD={first}\\\n{second}", secret),
            (f"password:\n{secret}", secret),
            (f"password is\n{secret} and", secret),
            (f"tool --password \\\n {secret}", secret),
            (f"the key {key[:cut]}\n{key[cut:]} leaked", key[4:]),
            (f"> the key {key[:cut]}\n> {key[cut:]}\n> bye", key[4:]),
            (f"used {long_key[:20]}\n{long_key[20:]} today", long_key),
            (f"Authorization: Basic\n {base64.b64encode(f'a:{secret}'.encode()).decode()}", secret),
            (f"Authorization: Bearer\n  {long_key}", long_key),
            (f"the password was changed\nto {secret} today", secret),
            (f"password for the vpn is\n{secret}", secret),
        ]
    )
    return Carried(shape, value)


# --- told in sentences

_told = templates(
    "the password was changed to {p}", "Password has been reset to {p}.", "password changed to: {p}",
    "I changed the password for {u} to {p} yesterday", "we reset the admin password to {p}",
    "password for the VPN is {p}", "Your new password is now {p}", "the password will be {p} from today",
    "password updated to '{p}' by helpdesk", "set the password of {u} to {p} please",
    "passphrase was rotated to {p}", "The credentials were changed to {p}", "my password is {p} ok?",
    "Password (temporary): {p}", "password for {u} on {h}: {p}", "pwd -> {p}", "pw {p}",
    "the passcode of the door was switched to {p}", "password was set to {p}, tell nobody",
    "The password you need is {p}", "His password became {p} last week",
)  # fmt: skip
_WORDS_OF_LANGUAGES = {
    "es": ("contraseña", "mi contraseña es {p}", "la contraseña fue cambiada a {p}", "clave: {p}"),
    "pt": ("senha", "a senha do app era {p}", "minha senha é {p}", "palavra-passe: {p}"),
    "de": ("Passwort", "Mein Passwort lautet {p}", "Das Passwort wurde auf {p} geändert", "Kennwort {p}"),
    "fr": ("mot_de_passe", "mon mot de passe est {p}", "mot de passe : {p}", "le mdp est {p}"),
    "it": ("parola_d'ordine"[:6], "la mia parola d'ordine è {p}", "parola: {p}", "parola d'ordine: {p}"),
    "nl": ("wachtwoord", "mijn wachtwoord is {p}", "wachtwoord gewijzigd naar {p}", "Wachtwoord: {p}"),
    "pl": ("hasło", "moje hasło to {p}", "hasło zmieniono na {p}", "Hasło: {p}"),
    "cs": ("heslo", "moje heslo je {p}", "heslo: {p}", "nové heslo je {p}"),
    "sv": ("lösenord", "mitt lösenord är {p}", "lösenordet är {p}", "Lösenord: {p}"),
    "da": ("adgangskode", "min adgangskode er {p}", "kodeord: {p}", "adgangskoden er {p}"),
    "no": ("passord", "passordet er {p}", "passord: {p}", "passordet ble endret til {p}"),
    "fi": ("salasana", "salasanani on {p}", "salasana: {p}", "salasana on {p}"),
    "hu": ("jelszó", "a jelszó: {p}", "jelszavam {p}", "Jelszó = {p}"),
    "ro": ("parola", "parola este {p}", "parola mea este {p}", "parola: {p}"),
    "tr": ("şifre", "şifrem {p}", "şifre: {p}", "Parolam: {p}"),
    "hr": ("lozinka", "lozinka je {p}", "zaporka: {p}", "moja lozinka je {p}"),
    "id": ("kata_sandi", "kata sandi saya adalah {p}", "kata sandi: {p}", "sandi: {p}"),
    "vi": ("mật_khẩu", "mật khẩu là {p}", "mật khẩu của tôi là {p}", "Mật khẩu: {p}"),
    "lt": ("slaptažodis", "slaptažodis yra {p}", "slaptažodis: {p}", "mano slaptažodis {p}"),
    "ru": ("пароль", "мой пароль {p}", "пароль изменён на {p}", "Пароль от почты: {p}", "ПАРОЛЬ: {p}"),
    "uk": ("пароль", "мій пароль це {p}", "пароль: {p}", "новий пароль {p}"),
    "bg": ("парола", "паролата е {p}", "парола: {p}", "новата парола е {p}"),
    "sr": ("лозинка", "лозинка је {p}", "лозинка: {p}", "нова лозинка {p}"),
    "el": ("συνθηματικό", "ο κωδικός πρόσβασης είναι {p}", "συνθηματικό: {p}", "ΣΥΝΘΗΜΑΤΙΚΟ: {p}"),
    "zh": ("密码", "密码是{p}，请重置", "密码：{p}", "我的密码改为{p}了", "口令 {p}", "用戶密碼「{p}」"),
    "ja": ("パスワード", "パスワードは{p}です", "パスワード：{p}", "パスワードを{p}に変更しました"),
    "ko": ("비밀번호", "비밀번호는 {p}입니다", "비밀번호: {p}", "비밀번호를 {p}로 변경", "암호 {p}"),
    "ar": ("كلمة_المرور", "كلمة المرور هي {p}", "كلمة السر: {p}", "كلمة المرور الجديدة {p}"),
    "he": ("סיסמה", "הסיסמה היא {p}", "סיסמה: {p}", "הסיסמה שלי {p}"),
    "fa": ("رمز_عبور", "رمز عبور: {p}", "رمز عبور من {p} است"),
    "hi": ("पासवर्ड", "मेरा पासवर्ड {p} है", "पासवर्ड: {p}"),
    "th": ("รหัสผ่าน", "รหัสผ่านคือ {p}", "รหัสผ่าน: {p}", "รหัสผ่าน{p}"),
}  # fmt: skip


def _other_languages(rng: random.Random) -> Carried:
    field, *sentences = rng.choice(list(_WORDS_OF_LANGUAGES.values()))
    if rng.random() < 0.3:
        return _field(rng, field, fresh(rng))
    secret = fresh(rng)
    return Carried(rng.choice(sentences).format(p=secret), secret)


# --- tables


def _tables(rng: random.Random) -> Carried:
    heading = rng.choice(["password", "Password", "passwd", "secret", "api_key", "token", "senha",
                          "Passwort", "пароль", "密码", "pwd", "User Password"])  # fmt: skip
    secrets = [signed(rng) for _ in range(rng.randint(1, 4))]
    rows = [[_names(rng)["u"], secret, str(rng.randint(1, 99))] for secret in secrets]
    order = rng.sample(range(3), 3)
    grid = [[row[n] for n in order] for row in [["user", heading, "id"], *rows]]
    return Carried(rng.choice(_TABLE_SHAPES)(grid), rng.choice(secrets))


def _csv(sign: str) -> Callable[[list[list[str]]], str]:
    return lambda grid: "\n".join(sign.join(row) for row in grid)


def _markdown(grid: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in grid]
    return "\n".join([lines[0], "|---|:--|--:|", *lines[1:]])


def _aligned(grid: list[list[str]]) -> str:
    return "\n".join("  ".join(f"{cell:<20}" for cell in row).rstrip() for row in grid)


def _ruled(grid: list[list[str]]) -> str:
    lines = _aligned(grid).split("\n")
    return "\n".join([lines[0], "-" * 60, *lines[1:]])


def _insert(grid: list[list[str]]) -> str:
    rows = ", ".join(f"({', '.join(repr(cell) for cell in row)})" for row in grid[1:])
    return f"INSERT INTO users ({', '.join(grid[0])}) VALUES {rows};"


_TABLE_SHAPES: list[Callable[[list[list[str]]], Any]] = [
    _csv(","), _csv(";"), _csv("\t"), _csv(", "), _csv("|"), _markdown, _aligned, _ruled, _insert,
    lambda grid: "\n".join(",".join(f'"{cell}"' for cell in row) for row in grid),
    lambda grid: "Dump of users:\n\n" + _csv(",")(grid) + "\n\nend",
    lambda grid: {"file": {"content": _csv(",")(grid)}},
    lambda grid: {"columns": grid[0], "rows": grid[1:]},
]  # fmt: skip


def _urls_and_headers(rng: random.Random) -> Carried:
    return templates(
        "postgres://{u}:{p}@{h}:5432/{d}", "https://x:{p}@git.example.com/r.git", "redis://:{p}@{h}:6379",
        "mongodb+srv://{u}:{p}@{h}/x", "amqp://{u}:{p}@{h}", "X-Api-Key: {p}", "X-Auth-Token: {p}",
        "Authorization: Bearer {p}", "Authorization: Token {p}", "Cookie: sid={p}; a=b",
        "Set-Cookie: session={p}; HttpOnly", "https://x.example/a?access_token={p}&b=1",
        "https://x.example/a?api_key={p}", "Server={h};User Id={u};Password={p};",
        "Data Source={h};pwd={p}", "GET /a?password={p} HTTP/1.1", "ftp://{u}:{p}@{h}/a",
        "smb://CORP;{u}:{p}@{h}/c", "PASS {p}", "curl -H 'X-Api-Key: {p}' https://{h}/",
    )(rng)  # fmt: skip


def _tokens(rng: random.Random) -> Carried:
    key = token(rng)
    frame = rng.choice(["found {p} in it", "key={p}", '"x": "{p}"', "({p})", "{p}", "https://x/{p}"])
    return Carried(frame.format(p=key), key)


PROMISED: dict[str, Carrier] = {
    "fields in files and messages": _plain_fields,
    "URLs and headers": _urls_and_headers,
    "keys of known shape": _tokens,
    "arguments of commands": _commands,
    "lists of arguments": _argument_lists,
    "logins of Oracle": _oracle,
    "files of logins": _files,
    "base64 of a login": _auth,
    "keys of wireless networks": _network_keys,
    "links that sign in": _links,
    "encoded commands": _encoded_commands,
    "names with look-alike letters": _confused,
    "names in unusual spelling": _respelled,
    "values broken over a line": _broken,
    "told in a sentence": _told,
    "told in another language": _other_languages,
    "columns of tables": _tables,
}

# --- what is known to be missed


def _plain_word(rng: random.Random) -> Carried:
    word = rng.choice(["sunshine", "dragonfly", "butterscotch", "monkeybars", "charlotte"])
    text = rng.choice(["my password is {p}", "the password for the VPN is {p}", "mon mot de passe est {p}"])
    return Carried(text.format(p=word), word)


def _pieces(rng: random.Random) -> Carried:
    secret = _mixed(rng, 12)
    first, second = secret[:6], secret[6:]
    text = rng.choice(
        ["$p='{a}'+'{b}'; login $p", "String k = \"{a}\" + \"{b}\";", "first half {a}, second half {b}",
         "s = ''.join(['{a}', '{b}'])"]
    )  # fmt: skip
    return Carried(text.format(a=first, b=second), secret)


def _encoded_otherwise(rng: random.Random) -> Carried:
    secret = fresh(rng)
    plain = f"password={secret}".encode()
    thrice = base64.b64encode(base64.b64encode(base64.b64encode(plain))).decode()
    text = rng.choice(
        [
            thrice,
            base64.b32encode(plain).decode(),
            base64.b85encode(plain).decode(),
            codecs.encode(plain.decode(), "rot13"),
            base64.b64encode(gzip.compress(plain, mtime=0)).decode(),
            plain.decode()[::-1],
            " ".join(str(byte) for byte in plain),
        ]
    )
    return Carried(f"data {text} end", text if len(text) < 60 else text[:40])


def _without_word(rng: random.Random) -> Carried:
    secret = fresh(rng, rng.randint(8, 14))
    text = rng.choice(["log in with {p} please", "{u} / {p}", "it is {p}, do not tell", "try {p} or call me",
                       "{u}:{p}", "users\n{u} {p}"])  # fmt: skip
    return Carried(text.format(p=secret, **_names(rng)), secret)


def _one_column(rng: random.Random) -> Carried:
    secrets = [fresh(rng, 10) for _ in range(3)]
    text = rng.choice(["passwords\n", "Passwords found\n\n", "<table><tr><th>password</th></tr><tr><td>"])
    return Carried(text + "\n".join(secrets), secrets[2])


def _second_half_is_a_word(rng: random.Random) -> Carried:
    first, second = fresh(rng, 8), rng.choice(["Lantern", "orchids", "velvets", "harbors"])
    return Carried(f"password={first}\n{second}\n", second)


def _leet(rng: random.Random) -> Carried:
    secret = fresh(rng)
    word = rng.choice(["p4ssw0rd", "passw0rd", "p@ssword", "pa55word", "p a s s w o r d", "s3cret"])
    return Carried(f"{word}: {secret}", secret)


def _names_of_people(rng: random.Random) -> Carried:
    name = f"{rng.choice(FIRST_NAMES).title()} {rng.choice(LAST_NAMES).title()}"
    return Carried(f"I spoke to {name} about it yesterday.", name)


def _addresses(rng: random.Random) -> Carried:
    street = f"{rng.randint(2, 99)} {rng.choice(LAST_NAMES).title()} Street"
    return Carried(f"Please send it to {street}, Springfield.", street)


def _births(rng: random.Random) -> Carried:
    date = f"{rng.randint(10, 28)}.{rng.randint(10, 12)}.{rng.randint(1950, 2004)}"
    return Carried(f"born on {date} in Porto", date)


def _other_ids(rng: random.Random) -> Carried:
    digits = "".join(rng.choices(string.digits, k=11))
    text, value = rng.choice(
        [
            (f"CPF {digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}", digits[3:6] + "." + digits[6:9]),
            (f"passport X{digits[:8]}", f"X{digits[:8]}"),
            (f"customer number {digits[:7]}", digits[:7]),
            (f"NINO QQ{digits[:6]}C", f"QQ{digits[:6]}C"),
        ]
    )
    return Carried(text, value)


def _syslog_hosts(rng: random.Random) -> Carried:
    host = f"web{rng.choice(LAST_NAMES)}{rng.randint(10, 99)}"
    return Carried(f"Nov 30 06:25:43 {host} sshd[811]: Connection closed", host)


def _languages_without_words(rng: random.Random) -> Carried:
    secret = fresh(rng)
    text = rng.choice(["የይለፍ ቃል {p}", "စကားဝှက် {p}", "ពាក្យសម្ងាត់ {p}", "iphasiwedi ithi {p}", "mot-pas {p}",
                       "ລະຫັດຜ່ານ {p}"])  # fmt: skip
    return Carried(text.format(p=secret), secret)


UNPROMISED: dict[str, Carrier] = {
    "passwords that are a word, told in a sentence": _plain_word,
    "passwords with no word that names them": _without_word,
    "secrets that code puts together": _pieces,
    "secrets in other encodings (three times base64, base32, gzip …)": _encoded_otherwise,
    "lists under a heading, without columns": _one_column,
    "a broken value whose second part is a word": _second_half_is_a_word,
    "words for a password spelled with digits": _leet,
    "words for a password in languages that are not listed": _languages_without_words,
    "names of people in running text": _names_of_people,
    "postal addresses": _addresses,
    "dates of birth": _births,
    "national ids of other countries, customer numbers": _other_ids,
    "host names in the header of syslog": _syslog_hosts,
}

# --- what leaves


class Leak(NamedTuple):
    """A value that got out: its kind, what held it, and what was left of that."""

    kind: str
    content: Any
    value: str
    outgoing: str


def leaks(carriers: dict[str, Carrier], count: int, seed: int) -> Iterator[tuple[str, Leak | None]]:
    """Redact `count` fresh values of each kind; yield the kind and, if the value got out, the leak.

    The same seed gives the same values.
    """
    for kind, carrier in carriers.items():
        rng = random.Random(f"{seed} {kind}")
        for _ in range(count):
            carried = carrier(rng)
            sent = outgoing(carried.content, rng)
            leaked = bool(arrived(_parts(carried.value), sent))
            yield kind, Leak(kind, carried.content, carried.value, sent) if leaked else None


def _parts(value: str) -> list[str]:
    """The value, and its halves: a broken value could get out in part."""
    half = len(value) // 2
    return [value, *(part for part in (value[:half], value[half:]) if len(part) >= _MIN_PART_CHARS)]


def outgoing(content: Any, rng: random.Random) -> str:
    """What is sent of an event with the content somewhere in it; nothing if redaction refuses it."""
    redaction = Redaction()
    out = redaction.event(_event(content, rng))
    texts = "\n".join(filter(None, [out.title, out.text, out.body]))
    sent = f"{texts}\n{orjson.dumps([out.event, out.attributes]).decode()}"
    try:
        redaction.verify(sent)
    except RedactionFailed:
        return ""
    return sent


def _event(content: Any, rng: random.Random) -> Event:
    if not isinstance(content, str):
        return Event(id="e", kind="alert", title="Seen", event=content)
    places: list[dict[str, Any]] = [
        {"text": content},
        {"title": "Seen", "body": content},
        {"text": f"An analyst wrote:\n\n{content}\n\nKind regards"},
        {"title": "Seen", "event": {"message": content, "level": 3}},
        {"title": "Seen", "event": {"evidence": [{"line": content}]}},
        {"title": "Seen", "event": {"raw": orjson.dumps({"log": content, "n": 1}).decode()}},
        {"title": "Seen", "event": {"payload": base64.b64encode(content.encode()).decode()}},
        {"title": "Seen", "event": {"url": f"/log?line={quote(content)}"}},
        {"title": "Seen", "attributes": {"note": content}},
    ]
    return Event(id="e", kind="alert", **rng.choice(places))
