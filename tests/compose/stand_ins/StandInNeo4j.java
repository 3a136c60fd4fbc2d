import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;

/** Neo4j with authentication: {@code StandInNeo4j HOME CONFIG PASSWORD}. An empty graph gets the password. */
public final class StandInNeo4j {
    public static void main(String[] args) throws Exception {
        var known = Path.of(args[0], "password-set");
        var service = new DatabaseManagementServiceBuilder(Path.of(args[0]))
                .loadPropertiesFromFile(Path.of(args[1]))
                .build();
        Runtime.getRuntime().addShutdownHook(new Thread(service::shutdown));
        if (!Files.exists(known)) {
            service.database("system").executeTransactionally(
                    "ALTER USER neo4j SET PASSWORD $password CHANGE NOT REQUIRED", Map.of("password", args[2]));
            Files.createFile(known);
        }
        Files.createFile(Path.of("/tmp/neo4j-started"));
    }
}
