package org.pnda.lab;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;

/** Removes the topics of earlier runs ({@code --prefix}) and makes those of this one ({@code --topics a,b}). */
public final class Topics {
    private static final long LIMIT_SECONDS = 30;

    private Topics() {}

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        Properties properties = KafkaClients.properties();
        properties.setProperty("bootstrap.servers", options.text("bootstrap"));
        String prefix = options.text("prefix");
        List<String> wanted = Arrays.asList(options.text("topics").split(","));
        try (Admin admin = Admin.create(properties)) {
            List<String> old = new ArrayList<>(admin.listTopics().names().get(LIMIT_SECONDS, TimeUnit.SECONDS));
            old.removeIf(name -> !name.startsWith(prefix) || wanted.contains(name));
            admin.deleteTopics(old).all().get(LIMIT_SECONDS, TimeUnit.SECONDS);
            admin.createTopics(
                            wanted.stream()
                                    .map(name -> new NewTopic(name, 1, (short) 1))
                                    .collect(Collectors.toList()))
                    .all()
                    .get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            System.err.println("the broker " + options.text("bootstrap") + ": " + e.getCause());
            System.exit(1);
        }
    }
}
