"""What a broker with ACLs refuses is told as that, and not as an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from aiokafka.client import AIOKafkaClient
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from msgspec.structs import replace

from holonstream.local import ports
from holonstream.local.kafka_server import KafkaServer
from holonstream.ops import acls
from holonstream.ops.doctor import Findings, check_acls
from holonstream.ops.kafka import client
from holonstream.ops.replay.group import members, set_offsets
from holonstream.ops.servers import servers
from holonstream.ops.settings import Settings
from holonstream.ops.status import TopicStatus
from holonstream.ops.topics import check_topics, make_topics, unknown_topics
from holonstream.producers.errors import KafkaUnavailable, NotPermitted
from holonstream.producers.kafka import topic_identity
from holonstream.producers.log.schema import apply_schema
from holonstream.producers.relay.relay import Relay
from holonstream.schemas.catalogue import Catalogue
from holonstream.schemas.errors import NotInitialised
from holonstream.streams import aiokafka_fixes
from tests.support.waiting import wait_until

EVERYTHING = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)


class GuardedKafka(KafkaServer):
    """A broker that looks up ACLs; without one for a resource everybody may do everything.

    It makes topics that a client asks for, if the client lets it, as Kafka does by default.
    """

    def prepare(self) -> None:
        super().prepare()
        with self._config.open("a") as config:
            config.write("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n")
            config.write("allow.everyone.if.no.acl.found=true\n")
            config.write("auto.create.topics.enable=true\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    started = GuardedKafka(tmp_path_factory.mktemp("kafka"), ports.choose(GuardedKafka.port_names()))
    started.start(lambda _: None, Event())
    yield started
    started.kill()


@pytest.fixture
def settings(server: GuardedKafka) -> Iterator[Settings]:
    """A pipeline's topics on that broker; ACLs are gone afterwards."""
    made = Settings(kafka_bootstrap=server.env()["HOLONSTREAM_KAFKA_BOOTSTRAP"], namespace="guarded", partitions=2)
    make_topics(made)
    yield made
    admin = AdminClient(client(made))
    admin.delete_acls([EVERYTHING])[EVERYTHING].result(30)


def deny(settings: Settings, kind: ResourceType, name: str) -> None:
    """Refuse everything on a resource to everybody."""
    acl = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:*", "*", AclOperation.ALL, AclPermissionType.DENY)
    admin = AdminClient(client(settings))
    admin.create_acls([acl])[acl].result(30)


def end_of_topic(settings: Settings) -> object:
    with TopicStatus(client(settings), settings.topic) as status:
        return status.ends()


def offsets_of_group(settings: Settings) -> object:
    with TopicStatus(client(settings), settings.topic) as status:
        return status.group(settings.group("graph"), {0: 0, 1: 0})


def members_of_group(settings: Settings) -> object:
    return members(client(settings), settings.group("graph"))


def new_offsets(settings: Settings) -> None:
    set_offsets(client(settings), settings.topic, settings.group("graph"), {0: 0})


@pytest.mark.parametrize(
    ("ask", "kind", "named"),
    [
        (end_of_topic, ResourceType.TOPIC, "guarded.events"),
        (make_topics, ResourceType.TOPIC, "guarded.events"),
        (offsets_of_group, ResourceType.GROUP, "guarded-graph"),
        (members_of_group, ResourceType.GROUP, "guarded-graph"),
        (new_offsets, ResourceType.GROUP, "guarded-graph"),
    ],
)
def test_what_is_refused_is_named(
    settings: Settings, ask: Callable[[Settings], object], kind: ResourceType, named: str
) -> None:
    ask(settings)
    deny(settings, kind, named)
    with pytest.raises(NotPermitted, match=rf"Not permitted while .*{named}.*AUTHORIZATION_FAILED"):
        ask(settings)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (ResourceType.TOPIC, "guarded.events"),
        (ResourceType.GROUP, "guarded-relay"),
        (ResourceType.TRANSACTIONAL_ID, "guarded-relay"),
    ],
)
def test_a_relay_that_may_not_ends(settings: Settings, postgres_dsn: str, kind: ResourceType, named: str) -> None:
    apply_schema(postgres_dsn, Catalogue.load())
    deny(settings, kind, named)
    with pytest.raises(NotPermitted, match=f"Not permitted while .*{named}.*AUTHORIZATION_FAILED"):
        Relay(postgres_dsn, settings.kafka_bootstrap, namespace=settings.namespace).run(Event())


def test_acls_of_earlier_releases_are_removed_and_no_others(settings: Settings) -> None:
    """They gave the logins of namespace "guarded" the groups of "guarded-graph2"."""
    admin = AdminClient(client(settings))

    def there() -> set[AclBinding]:
        return set(admin.describe_acls(EVERYTHING).result(30))

    earlier = acls.earlier_rights(settings)
    assert (
        AclBinding(
            ResourceType.GROUP,
            "guarded-graph",
            ResourcePatternType.PREFIXED,
            settings.graph_principal,
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        in earlier
    )
    others = [
        AclBinding(kind, name, pattern, who, "*", AclOperation.READ, AclPermissionType.ALLOW)
        for kind, name, pattern, who in (
            (ResourceType.GROUP, "guarded-graph", ResourcePatternType.PREFIXED, "User:bi"),
            (ResourceType.GROUP, "guarded-graph2", ResourcePatternType.PREFIXED, settings.graph_principal),
            (ResourceType.GROUP, "guarded", ResourcePatternType.PREFIXED, settings.graph_principal),
            (ResourceType.TOPIC, "guarded-graph", ResourcePatternType.PREFIXED, settings.graph_principal),
        )
    ]
    # An operator who may everything, as the login of this test: without a super user nobody could remove them.
    for made in admin.create_acls([*earlier, *others]).values():
        made.result(30)
    acls.make_acls(replace(settings, operator_principal="User:ANONYMOUS"))
    assert set(acls.remove_earlier(settings)) == set(earlier)
    wait_until(lambda: not set(earlier) & there(), "the broker has heard of it")
    assert set(others) < there()
    assert acls.remove_earlier(settings) == []


def test_who_else_may_write_is_named_with_the_command_that_takes_it_away(settings: Settings) -> None:
    """A login that was renamed keeps its rights: Kafka knows nothing of it."""
    admin = AdminClient(client(settings))
    settings = replace(settings, operator_principal="User:ANONYMOUS")  # the login of this test
    acls.make_acls(replace(settings, relay_principal="User:old"))
    acls.make_acls(settings)
    topic, group, prefixed = ResourceType.TOPIC, ResourceType.GROUP, ResourcePatternType.PREFIXED
    others = [
        AclBinding(kind, name, pattern, who, "*", operation, AclPermissionType.ALLOW)
        for kind, name, pattern, who, operation in (
            (topic, "guard", prefixed, "User:*", AclOperation.WRITE),
            (topic, "*", ResourcePatternType.LITERAL, settings.graph_principal, AclOperation.ALTER_CONFIGS),
            (group, "guarded-sink-search", ResourcePatternType.LITERAL, "User:bi", AclOperation.READ),
            # These may: a reader of the topic, a right of another pipeline, the relay by another ACL.
            (topic, "guarded.events", ResourcePatternType.LITERAL, "User:bi", AclOperation.READ),
            (topic, "guarded.events2", ResourcePatternType.LITERAL, "User:bi", AclOperation.WRITE),
            (group, "guarded-graph2", prefixed, "User:bi", AclOperation.READ),
            (topic, "guarded.events", prefixed, settings.relay_principal, AclOperation.WRITE),
        )
    ]
    for made in admin.create_acls(others).values():
        made.result(30)

    def named() -> list[str]:
        return [acls.described(acl) for acl in acls.foreign_rights(settings, admin) or []]

    expected = [
        "User:*: write on topic guard*",
        f"{settings.graph_principal}: alter_configs on topic *",
        "User:bi: read on group guarded-sink-search",
        "User:old: read on group guarded-relay",
        "User:old: write on topic guarded.events",
        "User:old: write on transactional_id guarded-relay",
    ]
    wait_until(lambda: named() == sorted(expected), "the broker has heard of them")
    foreign = acls.foreign_rights(settings, admin) or []
    commands = {acls.described(acl): acls.removal(acl) for acl in foreign}
    assert commands["User:*: write on topic guard*"] == (
        "kafka-acls.sh --remove --allow-principal 'User:*' --operation Write --topic 'guard' "
        "--resource-pattern-type prefixed"
    )
    assert commands["User:old: write on transactional_id guarded-relay"].endswith(
        "--operation Write --transactional-id 'guarded-relay'"
    )
    findings = Findings(servers(settings)["kafka"])
    check_acls(settings, admin, findings)
    assert [(check.state, check.detail) for check in findings.checks] == [
        ("warning", f"beyond what `holonstream init --acls` gives: {name}") for name in sorted(expected)
    ]


def test_brokers_without_an_authorizer_are_said_to_have_none(kafka_bootstrap: str) -> None:
    settings = Settings(kafka_bootstrap=kafka_bootstrap)
    findings = Findings(servers(settings)["kafka"])
    check_acls(settings, AdminClient(client(settings)), findings)
    ((state, detail),) = [(check.state, check.detail) for check in findings.checks]
    assert (state, detail) == ("ok", "there are none: without an authorizer anyone who can log in may write")


def test_a_missing_topic_is_no_outage(settings: Settings) -> None:
    with pytest.raises(NotInitialised, match=r"Topic missing while reading the end of topic other\.events.*init"):
        end_of_topic(replace(settings, namespace="other"))


def test_topics_that_somebody_else_has_made_need_no_right_to_make_them(settings: Settings) -> None:
    admin = AdminClient(client(settings))
    wanted = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission)
        for kind, name in (
            (ResourceType.BROKER, acls.CLUSTER_NAME),
            (ResourceType.TOPIC, settings.topic),
            (ResourceType.TOPIC, settings.dead_letter_topic),
            (ResourceType.TOPIC, "elsewhere.events"),
        )
        for operation, permission in (
            (AclOperation.ALL, AclPermissionType.ALLOW),
            (AclOperation.CREATE, AclPermissionType.DENY),
        )
    ]
    for made in admin.create_acls(wanted).values():
        made.result(30)
    wait_until(lambda: set(wanted) <= set(admin.describe_acls(EVERYTHING).result(30)), "the broker goes by the ACLs")
    with pytest.raises(NotPermitted, match=r"making elsewhere\.events.*AUTHORIZATION_FAILED"):
        make_topics(replace(settings, namespace="elsewhere"))
    assert make_topics(settings).partitions == settings.partitions


def test_no_question_makes_the_topics(settings: Settings, postgres_dsn: str) -> None:
    """They would have one partition and a week's retention, and `init` would refuse them."""
    missing = replace(settings, namespace="asked")
    apply_schema(postgres_dsn, Catalogue.load())
    questions: list[Callable[[], object]] = [
        lambda: end_of_topic(missing),
        lambda: check_topics(missing),
        lambda: topic_identity(AdminClient(client(missing)), missing.topic),
        lambda: Relay(postgres_dsn, settings.kafka_bootstrap, namespace=missing.namespace).run(Event()),
    ]
    for ask in questions:
        with pytest.raises(NotInitialised, match=r"asked\.events"):
            ask()
    assert unknown_topics(client(missing), missing) == [missing.topic, missing.dead_letter_topic]
    asyncio.run(ask_for_topic(missing))
    there = AdminClient(client(settings)).list_topics(timeout=30).topics
    assert settings.topic in there
    assert not [name for name in there if name.startswith("asked")]


async def ask_for_topic(settings: Settings) -> None:
    """As a worker does whose topic was deleted."""
    assert aiokafka_fixes
    worker = AIOKafkaClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        await worker.bootstrap()
        await worker.add_topic(settings.topic)
        await worker.force_metadata_update()
    finally:
        await worker.close()
        await asyncio.to_thread(lambda: None)  # a turn of the loop, in which the sockets are closed


def test_a_broker_that_is_gone_is_an_outage(settings: Settings) -> None:
    (free,) = ports.choose(("nobody",)).values()
    with pytest.raises(KafkaUnavailable, match="Kafka unavailable while reading the end of topic guarded"):
        end_of_topic(replace(settings, kafka_bootstrap=f"127.0.0.1:{free}"))
