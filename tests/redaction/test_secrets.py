"""Secrets in texts are found, and texts without any are left alone."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import string
import time
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentops.redaction import findings
from agentops.redaction.rules import PROVIDERS, TOKENS, expand
from agentops.redaction.secrets import Secrets
from tests.redaction.samples import ALNUM, key, sample

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "secrets_dev.jsonl.gz"
KEY = key(Random(1))
SECRETS = Secrets()
FORMS = {"a": ALNUM, "b": ALNUM + "/+", "d": string.digits, "h": "0123456789abcdef", "w": ALNUM + "_-"}


def secret_parts(text: str) -> list[str]:
    return [text[one.start : one.end] for one in SECRETS.find(text)]


# --- what is found ---


@pytest.mark.parametrize("number", range(len(TOKENS)), ids=lambda n: f"{TOKENS[n].kind}-{n}")
def test_a_token_of_each_provider_is_found_wherever_it_stands(number):
    rule = TOKENS[number]
    random = Random(number)
    tried = 0
    while tried < 5:
        token = sample(expand(rule.pattern), random)
        if not any(one.kind == rule.kind for one in SECRETS.find(token)):
            tried += 1  # too little in it, by chance
            continue
        secret = max(secret_parts(token), key=len)
        for text in (
            f"it is {token}, thank you",
            f'{{"value": "{token}"}}',
            f"ünïcödé 🦜 {token}\x00",
        ):
            assert any(secret in part for part in secret_parts(text)), text
            assert SECRETS.may_hold(text.encode())
        if '"' not in token and "\\" not in token:
            text = json.dumps(json.dumps({"text": f"first\n{token}\n"}))
            assert any(secret in part for part in secret_parts(text)), text
        return
    pytest.fail(f"none of five tokens of {rule.kind} was found")


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        *(("ghp_", 24), ("ghp_", 40), ("glpat-", 20), ("sk-ant-api03-", 24), ("sk-ant-api03-", 60), ("sk-", 32)),
        *(("sk-", 48), ("sk-", 64), ("sk-proj-", 40), ("sk-proj-", 156), ("sk_live_", 24), ("AKIA", 16), ("hf_", 30)),
    ],
)
def test_what_has_the_prefix_of_a_provider_is_found_at_any_length_with_digits_or_without(prefix, length):
    random = Random(length)
    for letters in (string.ascii_letters, ALNUM):
        for _ in range(40):
            token = prefix + "".join(random.choice(letters) for _ in range(length))
            token = token.upper() if prefix == "AKIA" else token
            assert secret_parts(f"with {token}, thank you") == [token]
            assert SECRETS.may_hold(msgspec.msgpack.encode({"note": token}))


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-MyGreatProjectNameIsHere and sk-proj-my-great-project-name-2024",
        "ghp_YourPersonalAccessTokenHere",
        "sk-ant-api03-this-is-not-a-real-key-ok, sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxx",
        "npm_lifecycleScriptNameIsLongHere, npm_config_registry_url_setting",
        "sk-1234567890abcdef1234567890abcdef12345678",
        "risk-ab12cd34ef56ab12cd34ef56ab12cd34ef56 in sk-learn-pipelines-for-everyone",
    ],
)
def test_a_prefix_before_words_or_a_placeholder_is_no_secret(text):
    assert secret_parts(text) == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_under_the_name_of_its_provider_is_found(provider):
    random = Random(provider)
    for form in PROVIDERS[provider].split():
        if form == "u":
            value = "-".join("".join(random.choice("0123456789abcdef") for _ in range(n)) for n in (8, 4, 4, 4, 12))
        else:
            value = "7" + "".join(random.choice(FORMS[form[0]]) for _ in range(int(form[1:]) - 3)) + "b4"
            value = value if form[0] != "d" else re.sub(r"\D", "5", value)
        for text in (
            f"{provider.upper()}_API_KEY={value}",
            f"{provider}.client_secret: '{value}'",
            f'{{"{provider}Token": "{value}"}}',
        ):
            assert value in secret_parts(text), text
            assert SECRETS.may_hold(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        f"api_key={KEY}",
        f'API_KEY="{KEY}"',
        f'"apiKey": "{KEY}"',
        f"'secret': '{KEY}'",
        f"export OPENAI_KEY={KEY}",
        f"Authorization: Bearer {KEY}",
        f'curl -H "Authorization: Bearer {KEY}" https://api.example.com',
        f"x-api-key: {KEY}",
        f"https://example.com/?access_token={KEY}&page=1",
        f'os.environ["API_KEY"] = "{KEY}"',
        f'setenv("API_KEY", "{KEY}")',
        f"--api-key {KEY}",
        f"API Key: {KEY}",
        f"aws_secret_access_key = {KEY + KEY[:8]}",
        f'SECRET_KEY = "django-insecure-{KEY}"',
        "password: hunter2",
        "PASSWORD=hunter2",
        "spring.datasource.password=hunter2",
        "mysql -u root --password=hunter2 shop",
        "login --password hunter2",
        '{"password": "correct horse battery"}',
        '{\\"password\\": \\"hunter2\\"}',
        'connect(user="bob", password="hunter2")',
        "Server=db;Uid=sa;Pwd=hunter2;",
        "<password>hunter2</password>",
        "https://example.com/?password=hunter2",
        "machine example.com login bob password hunter2",
        "ALTER USER bob WITH PASSWORD 'hunter2'",
        "my password is hunter2, is that all right?",
        "The password for the portal is hunter2",
        "DB_PASS=hunter22",
        'passphrase: "open sesame 42"',
        "postgres://bob:hunter2@db.example.com/shop",
        "redis://:hunter2@localhost:6379/0",
        "curl -u bob:hunter2 https://example.com/a",
        f"kind: Secret\ndata:\n  key: {KEY}\n",
        f'<add key="DbPassword" value="{KEY}" />',
        f"-----BEGIN RSA PRIVATE KEY-----\n{KEY * 2}\n{KEY * 2}\n-----END RSA PRIVATE KEY-----",
        f"PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 1\n{KEY * 2}\nPrivate-MAC: {'ab12' * 10}",
    ],
)
def test_a_secret_is_found_by_its_name_or_place(text):
    found = " ".join(secret_parts(text))
    assert any(secret in found for secret in (KEY, "hunter2", "correct horse battery", "open sesame 42")), found
    assert SECRETS.may_hold(text.encode())


def test_only_the_secret_is_taken_and_not_what_stands_round_it():
    assert secret_parts("user=bob&password=hunter2&page=1") == ["hunter2"]
    assert secret_parts('{"user": "bob", "password": "hunter2"}') == ["hunter2"]
    assert secret_parts("login: bob / password: Tr0ub4dor&3") == ["Tr0ub4dor&3"]
    assert secret_parts("postgres://bob:hunter2@db.example.com/shop") == ["bob:hunter2"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "hunter2"),
        ("password", "swordfish"),
        ("userPassword", "correct horse battery"),
        ("pass", "hunter2"),
        ("secret", "swordfish"),
        ("client_secret", "a1b2c3d4e5"),
        ("api_key", KEY),
        ("x-api-key", KEY),
        ("Authorization", f"Bearer {KEY}"),
        ("token", KEY),
        ("heroku", "5f3a2b1c-1111-4222-8333-123456789abc"),
        ("pässword" + "password", "hunter2"),
    ],
)
def test_a_value_in_a_mapping_is_secret_as_a_whole_if_its_key_says_so(name, value):
    (one,) = SECRETS.find_value(name, value)
    assert (one.start, one.end) == (0, len(value))
    for record in ({name: value}, {"a": [{"n": 65, name: value, "m": 65}]}, [1, {"x": {name: value}}]):
        assert SECRETS.may_hold(msgspec.msgpack.encode(record))


# --- what is not ---


@pytest.mark.parametrize(
    "text",
    [
        "password: str",
        "password=password",
        "password=self.password",
        "password: must be at least 8 characters",
        "token: str | None = None",
        'max_tokens=1024, "token_count": 55',
        'getpass("Password: ")',
        "secret = get_secret()",
        'secret = os.environ["SECRET"]',
        "Your password was reset.",
        "a token of appreciation: thank you",
        "your boarding pass is AB12CD34",
        "boarding pass: AB12CD34",
        '"idempotency_key": "5f3a2b1c-1111-4222-8333-123456789abc"',
        '"next_page_token": "CAEQAA1B2C3D4E5F6G7H8"',
        "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 58c330a1b2c3d4e5f60718293a4b5c6d7e8f9012",
        '{"token": "Hello", "logprob": -0.1}',
        "password: ********",
        "password: <your password>",
        "password=${DB_PASSWORD}",
        "password: {{ vault_password }}",
        "API_KEY=your-api-key-here",
        "ghp_" + "x" * 36,
        "AKIA" + "IOSFODNN7" + "EXAMPLE",
        "the secret to success: hard work",
        "prompt_tokens: 12, completion_tokens: 7",
        '"api_version": "2024-02-15-preview"',
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
        "Password Reset Link: https://example.com/reset/now",
        "token_type: bearer",
        "password_hash = bcrypt.hash(password)",
        "http://localhost:8080/@scope",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    ],
)
def test_what_only_speaks_of_secrets_is_left_alone(text):
    assert secret_parts(text) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", "Hello"),
        ("max_tokens", "1024"),
        ("password_hint", "the name of my dog"),
        ("token_type", "bearer"),
        ("password", ""),
        ("password", "null"),
        ("api_key", "<your key>"),
        ("key", "flight"),
        ("author", "Bob 12"),
    ],
)
def test_a_value_under_a_key_that_only_sounds_secret_is_left_alone(name, value):
    assert SECRETS.find_value(name, value) == []


def test_nothing_is_found_in_this_repository():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("agentops/**/*.py")]:
        if path.name == "rules.py":  # what tokens begin with
            continue
        assert secret_parts(path.read_text(encoding="utf-8")) == [], path


def test_prose_is_left_at_once():
    prose = (
        "On 3 March 2024 the passenger asked for a refund of $1,299.50; the agent said that it takes 5-7 days. "
        "Flights HAT123 and HAT271 leave at 10:45 and 17:05, and both of them are non-stop. She keeps the keys."
    )
    assert not SECRETS.may_hold(prose.encode())
    assert not SECRETS.may_hold(msgspec.msgpack.encode({"messages": [{"role": "user", "content": prose}], "n": 3}))


# --- the promise of the gate ---

PIECES = r"""
the of passenger password passwd pass pwd secret token tokens key api_key apiKey access_token Authorization Bearer
heroku linkedin sumo client_secret is for was = : => := :: -> , ; ( ) [ ] { } " ' ` \" \\" \n %3D -- - . / @ ://
curl -u hunter2 swordfish9 Tr0ub4dor&3 correct bob:hunter2 https:// example.com 2024-05-15T15:00:00Z login machine
<add kind: Secret é 🦜 ａ ٣
"""
WORDS = st.sampled_from([*PIECES.split(), " ", "\n", "  ", "\t", "\ud800", "\x00"])
RANDOM = st.integers(0, 10_000).map(Random)
TOKEN_TEXTS = st.builds(
    lambda n, random: sample(expand(TOKENS[n].pattern), random), st.integers(0, len(TOKENS) - 1), RANDOM
)
KEYS = st.builds(key, RANDOM, st.integers(8, 70))
TEXTS = st.lists(WORDS | WORDS | TOKEN_TEXTS | KEYS | st.text(max_size=4), max_size=8).map("".join) | st.lists(
    WORDS | KEYS, max_size=8
).map(" ".join)
RECORDS = st.recursive(
    TEXTS | st.integers(0, 300) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)


def _found(record: object) -> bool:
    if isinstance(record, str):
        return bool(SECRETS.find(record))
    if isinstance(record, dict):
        return any(
            _found(name) or _found(value) or (isinstance(value, str) and SECRETS.find_value(name, value))
            for name, value in record.items()
        )
    return isinstance(record, list) and any(map(_found, record))


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_no_means_that_nothing_is_found_in_a_text(text):
    if not SECRETS.may_hold(text.encode("utf-8", "surrogatepass")):
        assert SECRETS.find(text) == []


@settings(max_examples=80, deadline=None)
@given(RECORDS)
def test_no_means_that_nothing_is_found_in_a_record(record):
    data = msgspec.msgpack.encode(_storable(record))
    if not SECRETS.may_hold(data):
        assert not _found(record)


def _storable(record: object) -> object:
    """As it is recorded: a text that UTF-8 cannot hold as an extension."""
    if isinstance(record, str):
        try:
            record.encode()
        except UnicodeEncodeError:
            return msgspec.msgpack.Ext(1, record.encode("utf-8", "surrogatepass"))
        return record
    if isinstance(record, dict):
        return {_storable_key(name): _storable(value) for name, value in record.items()}
    return [_storable(one) for one in record] if isinstance(record, list) else record


def _storable_key(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_findings_lie_in_the_text_in_order_and_apart(text):
    found = SECRETS.find(text)
    assert found == findings.resolve(found) == SECRETS.find(text)
    assert all(0 <= one.start < one.end <= len(text) and one.kind in SECRETS.kinds for one in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))


# --- time ---

HARD = {
    "one run": lambda n: "aB3" * (n // 3),
    "base64 with slashes": lambda n: "aB3/x+9Z" * (n // 8),
    "JWT after JWT": lambda n: ("ey" + "J0eXAiOiJKV1QiLCJh" + ".ey" + "J1c2VyIjoiYm9iIn0x" + ".") * (n // 42),
    "begun JWTs": lambda n: "-ey" * (n // 3),
    "begun tokens": lambda n: "glpat-" * (n // 6),
    "begun keys": lambda n: "sk-" * (n // 3),
    "passwords": lambda n: "password=" * (n // 9),
    "passwords in quotes": lambda n: 'password="a ' * (n // 12),
    "passwords and blanks": lambda n: ("password" + " " * 30) * (n // 38),
    "passwords for": lambda n: "password for a b c d " * (n // 21),
    "assigned": lambda n: "key=aB3dE5fG7hJ9k " * (n // 18),
    "blocks without an end": lambda n: ("-----BEGIN " + "PRIVATE KEY-----\n") * (n // 28),
    "one block without an end": lambda n: "-----BEGIN " + "PRIVATE KEY-----\n" + "aB3/" * (n // 4),
    "URLs": lambda n: "://a:" * (n // 5),
    "URL of one piece": lambda n: "https://a:" + "b" * n + "@",
    "headers": lambda n: 'curl -H "Authorization: ' * (n // 24),
    "options": lambda n: 'curl -u "a: ' * (n // 12),
    "UUIDs": lambda n: "5f3a2b1c-1111-4222-8333-123456789abc " * (n // 37),
    "blanks": lambda n: " " * n,
    "quotes": lambda n: '"' * n,
    "backslashes": lambda n: "\\" * n,
    "dots": lambda n: "a1." * (n // 3),
    "digits": lambda n: "12345678:" * (n // 9),
    "Kubernetes": lambda n: "kind: secret\n" + "\n  a: b" * (n // 7),
    "logins": lambda n: "login a password: " * (n // 18),
    "not ASCII": lambda n: "пароль=key " * (n // 11),
}


def _microseconds_per_kB(text: str) -> float:
    start = time.process_time()
    SECRETS.find(text)
    SECRETS.may_hold(text.encode())
    return (time.process_time() - start) * 1e6 / (len(text) / 1000)


@pytest.mark.parametrize("shape", HARD)
def test_a_hard_text_takes_no_more_time_for_each_character_if_it_is_long(shape):
    # Ten times as much for each kB as a tenth of it takes would be the square; the floor hides a busy machine.
    short = min(_microseconds_per_kB(HARD[shape](20_000)) for _ in range(2))
    assert _microseconds_per_kB(HARD[shape](200_000)) < 5 * max(short, 300)


@pytest.mark.proof
@pytest.mark.parametrize("shape", HARD)
def test_ten_megabytes_of_a_hard_text_take_seconds(shape):
    assert _microseconds_per_kB(HARD[shape](10_000_000)) < 5_000


# --- the data set ---


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA.name} is not beside this repository")
def test_precision_and_recall_on_the_fixtures_of_two_scanners():
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    found = {row["id"]: bool(SECRETS.find(row["text"])) for row in rows}
    secrets = [row for row in rows if row["label"] == "secret"]
    for source, least in (("detect_secrets", 36 / 38), ("gitleaks", 0.9)):
        of_source = [found[row["id"]] for row in secrets if row["source"].startswith(source)]
        assert sum(of_source) / len(of_source) >= least
    true = sum(found[row["id"]] for row in secrets)
    assert true / sum(found.values()) >= 0.9
