// Reads Kafka records with the CloudEvents SDK: a record per line in, what the SDK makes of it per line out.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.format.EventFormat;
import io.cloudevents.core.provider.EventFormatProvider;
import io.cloudevents.jackson.JsonFormat;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

public class Read {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        EventFormat format = EventFormatProvider.getInstance().resolveFormat(JsonFormat.CONTENT_TYPE);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode record = json.readTree(line);
            CloudEvent event = format.deserialize(record.get("value").asText().getBytes(StandardCharsets.UTF_8));
            ObjectNode attributes = json.createObjectNode();
            for (String name : event.getAttributeNames()) {
                attributes.put(name, event.getAttribute(name).toString());
            }
            for (String name : event.getExtensionNames()) {
                attributes.put(name, (String) event.getExtension(name));
            }
            ObjectNode result = json.createObjectNode();
            result.set("attributes", attributes);
            result.set("data", json.readTree(event.getData().toBytes()));
            out.println(json.writeValueAsString(result));
        }
    }
}
