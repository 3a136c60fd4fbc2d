"""How the operator's commands, relay and workers connect to the brokers: TLS and every login, for both clients."""

from __future__ import annotations

import base64
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from holonstream.client.settings import InvalidSettings
from holonstream.ops.settings import Settings
from holonstream.producers.errors import NotPermitted
from holonstream.producers.kafka import CONNECTION
from holonstream.schemas.errors import MissingExtra

LOGIN_TIMEOUT = 5.0  # seconds
REFUSALS = (KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED)
TOKEN_LIFE = 300.0  # seconds that a token is used whose end is unknown
IAM = "AWS_MSK_IAM"
TOKENS = ("OAUTHBEARER", IAM)
Token = tuple[str, float]
"""a token, and when it ends, in seconds since the epoch"""


class TokenUnavailable(NotPermitted):
    """There is no valid token to log in with."""


def client(settings: Settings) -> dict[str, Any]:
    """What every client of confluent-kafka is made with. Errors are raised, so the library's own log is left out."""
    return {"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0, **CONNECTION, **security(settings)}


def security(settings: Settings) -> dict[str, Any]:
    """librdkafka's settings for TLS and login. Raises InvalidSettings, MissingExtra, TokenUnavailable."""
    check_login_settings(settings)
    found: dict[str, Any] = {}
    if settings.kafka_tls:
        files = (
            ("ssl.ca.location", settings.kafka_ca),
            ("ssl.certificate.location", settings.kafka_cert),
            ("ssl.key.location", settings.kafka_key),
        )
        found |= {name: str(file) for name, file in files if file is not None}
    transport = "SSL" if settings.kafka_tls else "PLAINTEXT"
    if (token := token_source(settings)) is not None:
        token()  # what is wrong with it is raised here, and not lost in a callback
        return found | {
            "security.protocol": f"SASL_{transport}",
            "sasl.mechanism": "OAUTHBEARER",
            "oauth_cb": lambda _: token(),
        }
    if settings.kafka_user is None:
        return found | {"security.protocol": transport}
    return found | {
        "security.protocol": f"SASL_{transport}",
        "sasl.mechanism": settings.kafka_mechanism,
        "sasl.username": settings.kafka_user,
        "sasl.password": settings.kafka_password.reveal() if settings.kafka_password else "",
    }


def check_login(settings: Settings) -> None:
    """Find out whether the brokers take the login. Raises NotPermitted when they refuse it; an outage is none."""
    refused: list[str] = []

    def note(error: KafkaError) -> None:
        # A broker that refuses a client's certificate says so after the handshake, as an error of the transport.
        if error.code() in REFUSALS or "SSL alert number" in error.str():
            refused.append(error.str())

    asking = AdminClient({**client(settings), "error_cb": note})
    until = time.monotonic() + LOGIN_TIMEOUT
    while time.monotonic() < until:
        try:
            asking.list_topics(timeout=1)
            return
        except KafkaException:
            asking.poll(0)
        if refused:
            who = f" as {settings.kafka_user}" if settings.kafka_user else ""
            raise NotPermitted(f"Kafka refuses the login{who} ({_kind(settings)}): {refused[0]}")


def login_fault(settings: Settings) -> NotPermitted | None:
    """Why the brokers refuse the login; None when they do not, or do not answer."""
    try:
        check_login(settings)
    except NotPermitted as fault:
        return fault
    return None


def _kind(settings: Settings) -> str:
    kinds = ["TLS"] if settings.kafka_tls else []
    kinds += ["client certificate"] if settings.kafka_cert else []
    by_sasl = settings.kafka_user is not None or settings.kafka_mechanism in TOKENS
    return ", ".join(kinds + ([settings.kafka_mechanism] if by_sasl else [])) or "no login"


def check_login_settings(settings: Settings) -> None:
    """Check that the settings of the login fit each other, and that files of certificates hold some.

    Raises InvalidSettings with every fault.
    """
    faults = []
    if (settings.kafka_cert is None) != (settings.kafka_key is None):
        faults.append("HOLONSTREAM_KAFKA_CERT and HOLONSTREAM_KAFKA_KEY belong together")
    if settings.kafka_cert is not None and not settings.kafka_tls:
        faults.append("HOLONSTREAM_KAFKA_CERT needs HOLONSTREAM_KAFKA_TLS")
    if (settings.kafka_mechanism == "OAUTHBEARER") != (settings.kafka_token_file is not None):
        faults.append("HOLONSTREAM_KAFKA_MECHANISM=OAUTHBEARER and HOLONSTREAM_KAFKA_TOKEN_FILE belong together")
    if settings.kafka_mechanism == IAM and not settings.kafka_tls:
        faults.append("HOLONSTREAM_KAFKA_MECHANISM=AWS_MSK_IAM needs HOLONSTREAM_KAFKA_TLS")
    if not faults and settings.kafka_tls:
        faults = _file_faults(settings)
    if faults:
        raise InvalidSettings(faults)


def _file_faults(settings: Settings) -> list[str]:
    """What is wrong with the files of TLS; a client of the brokers could not be made with them."""
    faults = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.kafka_ca is not None:
        try:
            context.load_verify_locations(settings.kafka_ca)
        except OSError as error:
            faults.append(f"HOLONSTREAM_KAFKA_CA: {str(settings.kafka_ca)!r} has no certificates (PEM): {error}")
    if settings.kafka_cert is not None:
        try:
            context.load_cert_chain(
                settings.kafka_cert, settings.kafka_key, password=""
            )  # else it asks at the terminal
        except OSError as error:
            files = f"{str(settings.kafka_cert)!r} and {str(settings.kafka_key)!r}"
            names = "HOLONSTREAM_KAFKA_CERT and HOLONSTREAM_KAFKA_KEY"
            faults.append(f"{names}: {files} are no certificate and its key (PEM): {error}")
    return faults


def token_source(settings: Settings) -> Callable[[], Token] | None:
    """What gives the present token at each login; None when the mechanism takes none. Raises MissingExtra."""
    if settings.kafka_mechanism == IAM:
        return _iam_tokens()
    file = settings.kafka_token_file
    return None if file is None else lambda: _file_token(file)


def _file_token(file: Path) -> Token:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenUnavailable(f"HOLONSTREAM_KAFKA_TOKEN_FILE: cannot read {file}: {error}") from None
    end = _end_of(text) or time.time() + TOKEN_LIFE
    if end <= time.time():
        raise TokenUnavailable(f"HOLONSTREAM_KAFKA_TOKEN_FILE: authentication needs a token, that in {file} has ended")
    return text, end


def _end_of(token: str) -> float | None:
    """When a JSON web token ends; None for one that does not say so."""
    try:
        body = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError, msgspec.DecodeError):
        return None


def _iam_tokens() -> Callable[[], Token]:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError:
        raise MissingExtra("aws-msk-iam-sasl-signer-python", "aws") from None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise InvalidSettings(["HOLONSTREAM_KAFKA_MECHANISM=AWS_MSK_IAM needs AWS_REGION"])

    def token() -> Token:
        text, milliseconds = MSKAuthTokenProvider.generate_auth_token(region)
        return str(text), milliseconds / 1000

    return token
