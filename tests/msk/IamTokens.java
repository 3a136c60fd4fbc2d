import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Checks logins as MSK does with IAM: the token is a request to kafka-cluster:Connect that the client has signed (Signature
 * Version 4). The one access key that is known is in the listener's JAAS options: keyId, secret, region.
 */
public final class IamTokens implements AuthenticateCallbackHandler {
    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
    private static final Set<String> UNSIGNED = Set.of("X-Amz-Signature", "User-Agent");
    private Map<String, ?> options;

    @Override
    public void configure(Map<String, ?> settings, String mechanism, List<AppConfigurationEntry> entries) {
        options = entries.get(0).getOptions();
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (var callback : callbacks) {
            if (!(callback instanceof OAuthBearerValidatorCallback asked)) throw new UnsupportedCallbackException(callback);
            try {
                asked.token(check(asked.tokenValue()));
            } catch (GeneralSecurityException | RuntimeException error) {
                asked.error("invalid_token", null, null);
            }
        }
    }

    @Override
    public void close() {}

    private OAuthBearerToken check(String token) throws GeneralSecurityException {
        var request = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
        var query = new TreeMap<String, String>();
        for (var pair : request.getRawQuery().split("&")) {
            var parts = pair.split("=", 2);
            query.put(parts[0], URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        String date = query.get("X-Amz-Date");
        String scope = date.substring(0, 8) + "/" + options.get("region") + "/kafka-cluster/aws4_request";
        Instant begins = Instant.from(TIME.parse(date));
        Instant ends = begins.plus(Duration.ofSeconds(Long.parseLong(query.get("X-Amz-Expires"))));
        require(request.getHost().equals("kafka." + options.get("region") + ".amazonaws.com"));
        require(query.get("Action").equals("kafka-cluster:Connect"));
        require(query.get("X-Amz-Credential").equals(options.get("keyId") + "/" + scope));
        require(ends.isAfter(Instant.now()));
        require(query.get("X-Amz-Signature").equals(signature(request.getHost(), query, date, scope)));
        return new Token(token, (String) options.get("keyId"), begins.toEpochMilli(), ends.toEpochMilli());
    }

    private String signature(String host, Map<String, String> query, String date, String scope)
            throws GeneralSecurityException {
        var signed = new StringBuilder();
        query.forEach((name, value) -> {
            if (UNSIGNED.contains(name)) return;
            String text = URLEncoder.encode(value, StandardCharsets.UTF_8).replace("+", "%20");
            signed.append(signed.isEmpty() ? "" : "&").append(name).append("=").append(text);
        });
        String request = "GET\n/\n" + signed + "\nhost:" + host + "\n\nhost\n" + hash("");
        byte[] key = ("AWS4" + options.get("secret")).getBytes(StandardCharsets.UTF_8);
        for (var part : scope.split("/")) key = hmac(key, part);
        return HexFormat.of().formatHex(hmac(key, "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + hash(request)));
    }

    private static String hash(String text) throws GeneralSecurityException {
        var bytes = text.getBytes(StandardCharsets.UTF_8);
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    private static byte[] hmac(byte[] key, String text) throws GeneralSecurityException {
        var mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static void require(boolean condition) {
        if (!condition) throw new IllegalArgumentException("not a token of this key");
    }

    private record Token(String value, String principalName, Long startTimeMs, long lifetimeMs) implements OAuthBearerToken {
        @Override
        public Set<String> scope() {
            return Set.of();
        }
    }
}
