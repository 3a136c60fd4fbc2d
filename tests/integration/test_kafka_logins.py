"""Logins and rights on a broker that refuses anyone who has no ACL: every kind of login, for both of our clients."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from aiokafka.errors import KafkaError as WorkersKafkaError
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from holonstream import local
from holonstream.client.settings import Secret
from holonstream.ops.acls import make_acls
from holonstream.ops.commands.init import initialise
from holonstream.ops.kafka import TokenUnavailable, check_login, client
from holonstream.ops.processes import Processes
from holonstream.ops.replay.group import set_offsets
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.producers.errors import NotPermitted
from holonstream.producers.log.store import PostgresEventStore
from holonstream.schemas.catalogue import Catalogue
from tests.conformance.graph_store import person
from tests.fix_stack import unlink_keys
from tests.support.login_kafka import (
    PLAIN_USERS,
    LoginKafka,
    ask_as_worker,
    certificate,
    code_of_delivery,
    login_kafka,
    token,
)
from tests.support.waiting import wait_until

PASSWORD = "s3cret of the 'test'"
NAMESPACE = "logins"
PARTS = ("relay", "graph", "cache", "reader", "operator")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logins")


@pytest.fixture(scope="module")
def server(folder: Path, authority: trustme.CA) -> Iterator[LoginKafka]:
    with login_kafka(folder, authority) as running:
        for user in PARTS:
            running.set_password(user, PASSWORD)
        yield running


@pytest.fixture(scope="module")
def settings(server: LoginKafka, folder: Path) -> Settings:
    """Of somebody who trusts the broker's certificate, and has no login yet."""
    return Settings(
        kafka_bootstrap=server.address("sasl"),
        kafka_tls=True,
        kafka_ca=folder / "ca.pem",
        namespace=NAMESPACE,
        partitions=2,
        relay_principal="User:relay",
        graph_principal="User:graph",
        cache_principal="User:cache",
        reader_principal="User:reader",
        operator_principal="User:operator",
    )


def login(settings: Settings, user: str, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-512") -> Settings:
    return replace(settings, kafka_user=user, kafka_password=Secret(password), kafka_mechanism=mechanism)


def with_token(settings: Settings, folder: Path, text: str) -> Settings:
    file = folder / "token"
    file.write_text(text)
    return replace(settings, kafka_mechanism="OAUTHBEARER", kafka_token_file=file)


def with_certificate(settings: Settings, server: LoginKafka, folder: Path, authority: trustme.CA) -> Settings:
    cert, key = certificate(authority, folder, f"client-{id(authority)}", "agent")
    return replace(settings, kafka_bootstrap=server.address("tls"), kafka_cert=cert, kafka_key=key)


Change = Callable[[Settings], Settings]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiokafka's sockets of refused logins
@pytest.mark.parametrize("kind", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "token", "certificate"])
def test_both_clients_log_in_and_a_wrong_login_is_named(
    kind: str, settings: Settings, server: LoginKafka, authority: trustme.CA, tmp_path: Path
) -> None:
    said = "uthentication"
    if kind == "OAUTHBEARER":
        right = with_token(settings, tmp_path, token("relay"))
        wrong = replace(right, kafka_token_file=tmp_path / "old")
        (tmp_path / "old").write_text(token("relay", life=-4))
    elif kind == "token":  # one that the brokers refuse
        right = with_token(settings, tmp_path, token("relay"))
        wrong = replace(right, kafka_token_file=tmp_path / "forged")
        (tmp_path / "forged").write_text(token("relay") + "signature")
    elif kind == "certificate":
        right = with_certificate(settings, server, tmp_path, authority)
        wrong, said = with_certificate(settings, server, tmp_path, trustme.CA()), "certificate"
    elif kind == "PLAIN":
        ((user, password),) = PLAIN_USERS.items()
        right, wrong = login(settings, user, password, kind), login(settings, user, "wrong", kind)
    else:
        right, wrong = login(settings, "relay", mechanism=kind), login(settings, "relay", "wrong", kind)
    check_login(right)
    asyncio.run(ask_as_worker(right))
    with pytest.raises(NotPermitted, match=said) as refused:
        check_login(wrong)
    assert "wrong" not in str(refused.value)
    with pytest.raises((WorkersKafkaError, TokenUnavailable)):
        asyncio.run(ask_as_worker(wrong))
    gc.collect()


@pytest.mark.parametrize("command", [["relay"], ["worker", "cache"], ["init"]])
def test_a_command_with_a_wrong_login_ends_with_one_line(
    settings: Settings, stack: local.Stack, postgres_dsn: str, command: list[str]
) -> None:
    wrong = login(settings, "relay", "wrong password")
    done = subprocess.run(
        [sys.executable, "-m", "holonstream", *command],
        env={**os.environ, **stack.env(), **environment(wrong), "HOLONSTREAM_POSTGRES_DSN": postgres_dsn},
        capture_output=True,
        text=True,
        timeout=240,
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[-1].startswith("error: Kafka refuses the login as relay (TLS, SCRAM-SHA-512): ")
    assert "wrong password" not in done.stderr


def test_a_password_and_a_token_are_replaced(settings: Settings, server: LoginKafka, tmp_path: Path) -> None:
    server.set_password("rotated", "before")
    before, after = (login(settings, "rotated", password) for password in ("before", "after"))
    wait_until(lambda: takes(before), "the first password is taken")
    server.set_password("rotated", "after")
    wait_until(lambda: takes(after), "the second password is taken")
    assert not takes(before)
    expired = with_token(settings, tmp_path, token("relay", life=-4))
    assert not takes(expired)
    (tmp_path / "token").write_text(token("relay"))  # the same settings, a new token in the file
    check_login(expired)


def takes(settings: Settings) -> bool:
    try:
        check_login(settings)
    except NotPermitted:
        return False
    return True


# --- rights ----------------------------------------------------------------------------------------------------------


def environment(settings: Settings) -> dict[str, str]:
    """The settings of the brokers as variables."""
    password = settings.kafka_password
    return {
        "HOLONSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "HOLONSTREAM_KAFKA_TLS": "true",
        "HOLONSTREAM_KAFKA_CA": str(settings.kafka_ca),
        "HOLONSTREAM_KAFKA_USER": settings.kafka_user or "",
        "HOLONSTREAM_KAFKA_PASSWORD": password.reveal() if password else "",
        "HOLONSTREAM_NAMESPACE": settings.namespace,
    }


def test_the_pipeline_runs_with_least_rights(
    settings: Settings,
    server: LoginKafka,
    stack: local.Stack,
    postgres_dsn: str,
    neo4j_uri: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    stores = {"HOLONSTREAM_POSTGRES_DSN": postgres_dsn, "HOLONSTREAM_SESSION_TIMEOUT": "6"}
    admin = replace(
        login(settings, "operator"),
        postgres_dsn=Secret(postgres_dsn),
        neo4j_uri=neo4j_uri,
        redis_url=Secret(redis_url),
    )
    make_acls(replace(settings, kafka_bootstrap=server.address("kafka"), kafka_tls=False))
    initialise(admin)
    make_acls(admin)
    with ExitStack() as running, PostgresEventStore(postgres_dsn, Catalogue.load()) as log:
        children = {}
        for part, command in (("relay", ["relay"]), ("graph", ["worker", "graph"]), ("cache", ["worker", "cache"])):
            own = {**stack.env(), **stores, **environment(login(settings, part))}
            children[part] = running.enter_context(Processes(own, tmp_path / part))
            children[part].start(part, *command)
        head = log.append([person(f"p-{n}") for n in range(50)])[-1].position

        def has_all() -> bool:
            for child in children.values():
                child.check()
            with TopicStatus(client(login(settings, "reader")), settings.topic) as topic:
                ends = topic.ends()
                if topic.relayed(settings.group("relay")) < head:
                    return False
                groups = [topic.group(settings.group(name), ends) for name in ("graph", "cache")]
                assert topic.problems(settings.group("relay"), settings.dead_letter_topic, groups) == []
                assert topic.unsafe(settings) == []
                return all(group.lag == 0 and any(p.position for p in group.partitions) for group in groups)

        wait_until(has_all, "both groups have handled everything, and a reader sees it", 240)
    unlink_keys(redis_url, f"{NAMESPACE}:")
    check_that_nobody_else_may_write(settings)


def check_that_nobody_else_may_write(settings: Settings) -> None:
    for part in ("graph", "cache", "reader"):
        config = client(login(settings, part))
        assert code_of_delivery(config, settings.topic) == "TOPIC_AUTHORIZATION_FAILED", part
        with pytest.raises(KafkaException, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
            Producer({**config, "transactional.id": settings.group("relay")}).init_transactions(120)
        admin = AdminClient(config)
        with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
            admin.delete_topics([settings.topic])[settings.topic].result(120)
        other = "cache" if part == "graph" else "graph"
        with pytest.raises(NotPermitted, match="GROUP_AUTHORIZATION_FAILED"):
            set_offsets(config, settings.topic, settings.group(other), {0: 1})
        for group in (f"{settings.group('graph')}2-relay", f"{settings.group('relay')}2-graph"):  # of other namespaces
            with pytest.raises(NotPermitted, match="GROUP_AUTHORIZATION_FAILED"):
                set_offsets(config, settings.topic, group, {0: 1})
    relay = AdminClient(client(login(settings, "relay")))
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        relay.delete_topics([settings.topic])[settings.topic].result(120)
