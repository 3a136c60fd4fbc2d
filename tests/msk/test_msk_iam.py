"""A role's access key logs in at a broker that checks tokens as MSK does; a wrong one is refused, for both clients.

The broker is Kafka with a check of AWS's signatures, `IamTokens.java`; AWS's own package makes the tokens, the extra
`aws`.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from aiokafka.errors import KafkaError

from holonstream.local import jars
from holonstream.local.process import Command
from holonstream.ops.kafka import check_login
from holonstream.ops.settings import Settings
from holonstream.producers.errors import NotPermitted
from tests.support.login_kafka import LoginKafka, ask_as_worker, login_kafka

KEY, SECRET, REGION = "AKIAIMITATION", "a secret access key", "eu-west-1"
OAUTH = "listener.name.sasl.oauthbearer.sasl."


class ImitatedMsk(LoginKafka):
    """Its `sasl` listener takes tokens of one access key."""

    def prepare(self) -> None:
        super().prepare()
        source = Path(__file__).with_name("IamTokens.java")
        libs = jars.folder("kafka")
        subprocess.run(["javac", "-cp", f"{libs}/*", "-d", str(self.folder), str(source)], check=True)
        claim = 'unsecuredLoginStringClaim_sub="broker"'
        options = f'{claim} keyId="{KEY}" secret="{SECRET}" region="{REGION}"'
        text = self._config.read_text().replace(claim, options)
        self._config.write_text(f"{text}{OAUTH}server.callback.handler.class=IamTokens\n")

    def command(self) -> Command:
        made = super().command()
        return Command(made.argv, cwd=made.cwd, env={"CLASSPATH": f"{self.folder}:{made.env['CLASSPATH']}"})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("msk")
    with login_kafka(folder, trustme.CA(), ImitatedMsk) as server:
        yield Settings(
            kafka_bootstrap=server.address("sasl"),
            kafka_tls=True,
            kafka_ca=folder / "ca.pem",
            kafka_mechanism="AWS_MSK_IAM",
        )


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)


def test_the_key_of_a_role_logs_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    check_login(settings)
    asyncio.run(ask_as_worker(settings))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiokafka's sockets of refused logins
@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_SECRET_ACCESS_KEY", "another"), ("AWS_ACCESS_KEY_ID", "AKIAOTHER"), ("AWS_REGION", "x")],
)
def test_another_key_or_region_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv(variable, value)
    with pytest.raises(NotPermitted, match="uthentication") as refused:
        check_login(settings)
    assert SECRET not in str(refused.value)
    with pytest.raises(KafkaError):
        asyncio.run(ask_as_worker(settings))
    gc.collect()
