"""Addresses of the cache: what is understood, and what is refused in one line that shows no password."""

from __future__ import annotations

import pytest

from holonstream.sinks.cache.address import SentinelAddress, check_address, parse_sentinel


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "redis://cache:6379",
        "redis://user:p%40ss@[::1]:6379/3",
        "redis://cache/0?protocol=3&client_name=orders&health_check_interval=1.5",
        "rediss://cache:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=True",
        "redis+sentinel://a,b:26380,[::1]:26379/cache",
        "rediss+sentinel://user:p%40ss@a:1/cache/2",
    ],
)
def test_addresses_that_are_understood(url: str) -> None:
    check_address(url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("cache:6379", "is no address"),
        ("http://cache", "is no address"),
        ("unix:///run/redis.sock", "is no address"),
        ("redis://cache:port", "is no address"),
        ("redis://user:pa/ss@cache", "is no address"),
        ("redis://cache/zero", "number of a database"),
        ("redis://cache/0/1", "number of a database"),
        ("redis://cache?sock_timeout=1", "has an option 'sock_timeout'; known are client_name,"),
        ("redis://cache?socket_timeout=soon", "has an option socket_timeout with a value"),
        ("redis://cache?ssl_cert_reqs=none", "has an option 'ssl_cert_reqs'"),
        ("rediss://cache?ssl_cert_reqs=perhaps", "has an option ssl_cert_reqs with a value"),
        ("redis://cache?decode_responses=true", "has an option 'decode_responses'"),
        ("redis+sentinel://a:26379", "is no address redis+sentinel://host:port,host:port/service"),
        ("redis+sentinel://a:26379/", "is no address"),
        ("redis+sentinel:///cache", "is no address"),
        ("redis+sentinel://a:26379,/cache", "is no address"),
        ("redis+sentinel://a:port/cache", "is no address"),
        ("redis+sentinel://a:1/cache/zero", "number of a database"),
        ("redis+sentinel://a:1/cache/0/1", "is no address"),
        ("redis+sentinel://user:pa/ss@a:1/cache", "is no address"),
        ("redis+sentinel://a:1/cache?db=1", "is no address"),
    ],
)
def test_other_addresses_are_refused_by_what_is_wrong(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refusal:
        check_address(url)
    assert complaint in str(refusal.value)
    assert "ss@" not in str(refusal.value)


def test_an_address_of_sentinels_is_taken_apart() -> None:
    assert parse_sentinel("rediss+sentinel://us%2Fer:p%40ss@a:1,[::1]/the%20cache/2") == SentinelAddress(
        (("a", 1), ("::1", 26_379)), "the cache", 2, "us/er", "p@ss", True
    )
    assert parse_sentinel("redis+sentinel://a/cache") == SentinelAddress(
        (("a", 26_379),), "cache", 0, None, None, False
    )
