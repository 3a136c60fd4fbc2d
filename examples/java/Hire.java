// Hire a person: a row of our own table and an event of the log, in one transaction. Prints the token.
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Map;

public class Hire {
    public static void main(String[] arguments) throws Exception {
        var id = arguments[0];
        var name = arguments[1];
        var event = Map.of(
            "type", "PersonCreated",
            "occurredAt", Instant.now().toString(),
            "actor", "hr-desk",
            "sourceSystem", "hr",
            "subjects", List.of(id),
            "payload", Map.of("name", name));
        var expected = Map.of("holon/" + id, 0); // the stream must not exist yet, otherwise SQLSTATE HS003
        var json = new ObjectMapper();

        try (var connection = DriverManager.getConnection(address(), user(), null)) {
            try (var create = connection.createStatement()) {
                create.execute("CREATE TABLE IF NOT EXISTS people (id text PRIMARY KEY, name text NOT NULL)");
            }
            connection.setAutoCommit(false);
            try (var append = connection.prepareStatement(
                    "SELECT token FROM holonstream.append_events(?::jsonb, ?::jsonb)");
                 var insert = connection.prepareStatement("INSERT INTO people VALUES (?, ?)")) {
                append.setString(1, json.writeValueAsString(List.of(event)));
                append.setString(2, json.writeValueAsString(expected));
                var rows = append.executeQuery();
                rows.next();
                var token = rows.getString(1);
                insert.setString(1, id);
                insert.setString(2, name);
                insert.executeUpdate();
                connection.commit();
                System.out.println(token);
            } catch (SQLException error) {
                connection.rollback();
                System.err.println(error.getSQLState() + ": " + error.getMessage()); // HS003: Wrong expected version ...
                System.exit(1);
            }
        }
    }

    // DATABASE_URL is postgresql://user@host:port/database; JDBC takes the user apart from the address.
    private static URI url() {
        return URI.create(System.getenv("DATABASE_URL"));
    }

    private static String address() {
        return "jdbc:postgresql://" + url().getHost() + ":" + url().getPort() + url().getPath();
    }

    private static String user() {
        return url().getUserInfo();
    }
}
