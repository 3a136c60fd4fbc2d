"""The rights that each part of the pipeline needs on Kafka, as ACLs: `holonstream init --acls` makes them.

Only the relay writes the topic of events. The brokers need an authorizer (KRaft's StandardAuthorizer). With
``allow.everyone.if.no.acl.found`` these ACLs still keep all others from these topics and groups, and from the cluster's
ACLs; without it anyone who has no ACL may do nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from time import monotonic

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.ops.topics import MAKING_TIMEOUT
from holonstream.producers.kafka import TIMEOUT, answer, driver_errors
from holonstream.schemas import names

TOPIC, GROUP, TRANSACTION = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
LITERAL, PREFIXED = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
CLUSTER, CLUSTER_NAME = ResourceType.BROKER, "kafka-cluster"
READ, WRITE, DESCRIBE, CONFIG = (
    AclOperation.READ,
    AclOperation.WRITE,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
)
CHANGING = {
    TOPIC: {WRITE, AclOperation.ALL, AclOperation.DELETE, AclOperation.ALTER, AclOperation.ALTER_CONFIGS},
    GROUP: {READ, AclOperation.ALL, AclOperation.DELETE},  # who reads in a group commits its offsets
    TRANSACTION: {WRITE, AclOperation.ALL},
}
"""by kind of resource: what its holder can forge, remove or move with it"""
EVERY_ACL = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)


def rights(settings: Settings) -> list[AclBinding]:
    """What relay, workers, readers and operators need, and nothing else; each once, also if they share a login."""
    return list(dict.fromkeys(_rights(settings)))


def _rights(settings: Settings) -> Iterator[AclBinding]:
    events, letters = settings.topic, settings.dead_letter_topic
    relay = names.consumer_group(settings.namespace, "relay")
    own = names.consumer_group(settings.namespace, names.sink_view(""))
    # Whole names where it can be, since the name of another namespace may begin with ours: "a-graph2" with "a-graph".
    graph, cache = (
        [
            (names.consumer_group(settings.namespace, view), LITERAL),
            (settings.group(view), LITERAL),  # with the suffix of the settings
            (names.consumer_group(settings.namespace, view) + names.REPLAY_SUFFIX, PREFIXED),
        ]
        for view in names.VIEWS
    )
    groups = [(relay, LITERAL), *graph, *cache, (own, PREFIXED)]
    # The relay reads the end of the topic when it starts, and commits its position for both topics.
    yield from _allow(settings.relay_principal, TOPIC, events, WRITE, READ, DESCRIBE, CONFIG)
    yield from _allow(settings.relay_principal, TOPIC, letters, READ, DESCRIBE)
    yield from _allow(settings.relay_principal, GROUP, relay, READ, DESCRIBE)
    yield from _allow(settings.relay_principal, TRANSACTION, relay, WRITE, DESCRIBE)
    for principal, own_groups in (
        (settings.graph_principal, graph),
        (settings.cache_principal, cache),
        (settings.sink_principal, [(own, PREFIXED)]),
    ):
        yield from _allow(principal, TOPIC, events, READ, DESCRIBE)
        for group, pattern in own_groups:
            yield from _allow(principal, GROUP, group, READ, DESCRIBE, pattern=pattern)
    for principal in (settings.graph_principal, settings.sink_principal):
        yield from _allow(principal, TOPIC, letters, WRITE, DESCRIBE)
    # status, exporter, verify cache
    yield from _allow(settings.reader_principal, TOPIC, events, READ, DESCRIBE, CONFIG)
    yield from _allow(settings.reader_principal, TOPIC, letters, READ, DESCRIBE)
    for group, pattern in groups:
        yield from _allow(settings.reader_principal, GROUP, group, DESCRIBE, pattern=pattern)
    # init, replay, and whatever else an operator does to topics and groups
    for kind, name in ((TOPIC, events), (TOPIC, letters)):
        yield from _allow(settings.operator_principal, kind, name, AclOperation.ALL)
    for group, pattern in groups:
        yield from _allow(settings.operator_principal, GROUP, group, AclOperation.ALL, pattern=pattern)
    yield from _allow(settings.operator_principal, CLUSTER, CLUSTER_NAME, AclOperation.ALL)


def earlier_rights(settings: Settings) -> list[AclBinding]:
    """What releases up to 0.2 gave and `rights` does not: groups by their beginning, which others may have."""
    relay = names.consumer_group(settings.namespace, "relay")
    graph, cache = (names.consumer_group(settings.namespace, view) for view in ("graph", "cache"))
    given = [
        *_allow(settings.graph_principal, GROUP, graph, READ, DESCRIBE, pattern=PREFIXED),
        *_allow(settings.cache_principal, GROUP, cache, READ, DESCRIBE, pattern=PREFIXED),
    ]
    for group in (relay, graph, cache):
        given += _allow(settings.reader_principal, GROUP, group, DESCRIBE, pattern=PREFIXED)
        given += _allow(settings.operator_principal, GROUP, group, AclOperation.ALL, pattern=PREFIXED)
    wanted = set(rights(settings))
    return [acl for acl in dict.fromkeys(given) if acl not in wanted]


def remove_earlier(settings: Settings) -> list[AclBinding]:
    """Remove what `earlier_rights` names, once `make_acls` has made what takes its place; returns what was there.

    Raises NotPermitted, KafkaUnavailable.
    """
    admin = AdminClient(client(settings))
    filters = [
        AclBindingFilter(acl.restype, acl.name, PREFIXED, acl.principal, acl.host, acl.operation, acl.permission_type)
        for acl in earlier_rights(settings)
    ]
    with driver_errors(f"removing ACLs of earlier releases for the groups of {settings.namespace}"):
        asked = admin.delete_acls(filters, request_timeout=MAKING_TIMEOUT)
        return [acl for removed in asked.values() for acl in removed.result(MAKING_TIMEOUT)]


def make_acls(settings: Settings) -> int:
    """Make the ACLs that are missing; returns how many are wanted. Raises NotPermitted, KafkaUnavailable."""
    admin = AdminClient(client(settings))
    wanted = rights(settings)
    with driver_errors(f"making the ACLs of {settings.topic}"):
        for future in admin.create_acls(wanted, request_timeout=MAKING_TIMEOUT).values():
            future.result(MAKING_TIMEOUT)
        _wait_until_applied(admin, wanted)
    return len(wanted)


def _wait_until_applied(admin: AdminClient, wanted: list[AclBinding]) -> None:
    """Wait until a broker goes by the ACLs, which the controller has taken before. Raises TimeoutError."""
    until, pause = monotonic() + MAKING_TIMEOUT, Event()
    while not set(wanted) <= set(admin.describe_acls(EVERY_ACL, request_timeout=MAKING_TIMEOUT).result(MAKING_TIMEOUT)):
        if monotonic() > until:
            raise TimeoutError("the brokers do not show the ACLs that were made")
        pause.wait(0.1)


def foreign_rights(settings: Settings, admin: AdminClient) -> list[AclBinding] | None:
    """ACLs by which somebody who is none of the pipeline's principals may change its topics, groups or transactions.

    That is also one of our logins under the name that it had before, and one of ours that may more than it needs.
    None when the brokers have no ACLs, as without an authorizer. Raises NotPermitted, KafkaUnavailable.
    """
    with driver_errors(f"reading the ACLs of {settings.topic}"):
        found = answer(lambda: admin.describe_acls(EVERY_ACL, request_timeout=TIMEOUT).result(TIMEOUT))
    if not found:  # librdkafka keeps it to itself when the brokers say that they have no authorizer
        return None
    ours = rights(settings)
    foreign = {
        acl
        for acl in found
        if acl.permission_type == AclPermissionType.ALLOW
        and acl.operation in CHANGING.get(acl.restype, ())
        and any(_covers(acl, own) and not _may(ours, acl, own) for own in ours)
    }
    return sorted(foreign, key=described)


def _covers(acl: AclBinding, own: AclBinding) -> bool:
    """Whether an ACL is about the resource, or one of the resources, that one of ours is about."""
    if acl.restype != own.restype:
        return False
    name, ours = str(acl.name), str(own.name)
    is_inside = own.resource_pattern_type == PREFIXED and name.startswith(ours)
    return name in (ours, "*") or is_inside or (acl.resource_pattern_type == PREFIXED and ours.startswith(name))


def _may(ours: list[AclBinding], acl: AclBinding, own: AclBinding) -> bool:
    """Whether ours let the principal of an ACL do the same with that resource."""
    return any(
        (right.principal, right.restype, right.name) == (acl.principal, own.restype, own.name)
        and right.operation in (acl.operation, AclOperation.ALL)
        for right in ours
    )


def removal(acl: AclBinding) -> str:
    """The command that takes a right away."""
    operation = acl.operation.name.title().replace("_", "")
    kind = acl.restype.name.lower().replace("_", "-")
    pattern = " --resource-pattern-type prefixed" if acl.resource_pattern_type == PREFIXED else ""
    host = "" if acl.host == "*" else f" --allow-host {acl.host}"
    return (
        f"kafka-acls.sh --remove --allow-principal '{acl.principal}'{host} --operation {operation} "
        f"--{kind} '{acl.name}'{pattern}"
    )


def described(acl: AclBinding) -> str:
    """An ACL as one line."""
    pattern = "" if acl.resource_pattern_type == LITERAL else "*"
    kind, operation = acl.restype.name.lower(), acl.operation.name.lower()
    return f"{acl.principal}: {operation} on {kind} {acl.name}{pattern}"


def _allow(
    principal: str,
    kind: ResourceType,
    name: str,
    *operations: AclOperation,
    pattern: ResourcePatternType = LITERAL,
) -> Iterator[AclBinding]:
    for operation in operations:
        yield AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)
