"""The consumer group that projects the log into Neo4j."""

from __future__ import annotations

from collections.abc import Sequence

from holonstream.schemas.catalogue import Catalogue
from holonstream.sinks.base import DeadLetter
from holonstream.sinks.graph.driver import GraphConnection
from holonstream.sinks.graph.write.sink import GraphSink
from holonstream.streams.app import GroupSettings, SinkApp


def graph_app(settings: GroupSettings, connection: GraphConnection, catalogue: Catalogue) -> SinkApp:
    """A worker of the graph group; opens the connection when it starts and closes it when it stops."""

    async def publish(letters: Sequence[DeadLetter]) -> None:
        await app.publish_dead_letters(letters)

    app = SinkApp(settings, GraphSink(connection, catalogue, settings.topic, publish))
    return app
