"""A group's coordinator that answers late ends no process: librdkafka aborts when a question to it had timed out."""

from __future__ import annotations

import subprocess
import sys

# Brokers inside of librdkafka, which answer after 0.3 s: who the coordinator is, and then about the group. Apart, since
# what is tested would end the tests.
PROGRAM = """
from contextlib import suppress
from confluent_kafka import KafkaException
from holonstream.producers import kafka

brokers = {"test.mock.num.brokers": "3", "test.mock.broker.rtt": "300", "log_level": 0}
admin = kafka.Admin({"bootstrap.servers": "none", **brokers})
answer, kafka.answer = kafka.answer, lambda ask: ask()
kafka.ANSWER_TIMEOUT = 0.35
late = 0
for number in range(10):
    asked = admin.client
    with suppress(KafkaException):
        try:
            admin.describe(f"group-{number}")
        except TimeoutError:
            late += 1
            assert admin.client is not asked
assert late > 0
kafka.answer, kafka.ANSWER_TIMEOUT = answer, 60
with suppress(KafkaException):
    admin.describe("answered")
print("answered")
"""


def test_a_coordinator_that_answers_late_ends_no_process() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr
