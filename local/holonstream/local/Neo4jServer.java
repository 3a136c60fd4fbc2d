import java.nio.file.Path;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;

/** Neo4j as a server process: {@code java -cp 'libs/*' Neo4jServer HOME CONFIG}. SIGTERM shuts it down cleanly. */
public final class Neo4jServer {
    public static void main(String[] args) {
        var service = new DatabaseManagementServiceBuilder(Path.of(args[0]))
                .loadPropertiesFromFile(Path.of(args[1]))
                .build();
        Runtime.getRuntime().addShutdownHook(new Thread(service::shutdown));
    }
}
