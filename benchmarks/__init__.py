"""Every path of the pipeline, measured beside its bare client in the same run, and how the groups scale.

A module of `NAMES` has ``measure(bench) -> list[Figure]``, and takes the servers for itself: the graph is emptied, the
log is filled. `python -m benchmarks` starts servers of its own for it.
"""

from holonstream.client.settings import PREFIX
from holonstream.ops.settings import Settings

NAMES = (
    "append",
    "relay",
    "consume",
    "graph",
    "cache",
    "freshness",
    "rebuild",
    "api",
    "metrics",
    "traces",
    "scaling",
    "growth",
    "mission",
)
QUICK = NAMES[:6]
"""of `all --quick`, which takes some ten minutes"""


def environment(settings: Settings) -> dict[str, str]:
    """The variables with which a holonstream process finds the same servers."""
    return {
        f"{PREFIX}POSTGRES_DSN": settings.postgres_dsn.reveal(),
        f"{PREFIX}KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        f"{PREFIX}NEO4J_URI": settings.neo4j_uri,
        f"{PREFIX}REDIS_URL": settings.redis_url.reveal(),
    }
