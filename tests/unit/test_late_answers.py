"""A group's coordinator that answers late ends no process: librdkafka aborts when a question to it had timed out."""

from __future__ import annotations

import subprocess
import sys

# Brokers inside of librdkafka, which answer after 0.3 s. Apart, since what is tested would end the tests.
PROGRAM = """
from contextlib import suppress
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from holonstream.producers import kafka

brokers = {"test.mock.num.brokers": "3", "test.mock.broker.rtt": "300", "log_level": 0}
admin = AdminClient({"bootstrap.servers": "none", **brokers})
kafka.TIMEOUT = 0.35
for number in range(10):
    with suppress(KafkaException, TimeoutError):
        kafka.describe(admin, f"group-{number}")
kafka.TIMEOUT = 60
with suppress(KafkaException):
    kafka.describe(admin, "answered")
print("answered")
"""


def test_a_coordinator_that_answers_late_ends_no_process() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr
